// The entry of a worker thread, started the way the pool does it.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { WorkerData, WorkerReport } from '../../../src/core/worker/commands.js';
import { native } from '../../../src/native/index.js';
import { eventfd } from '../../support/resources.js';
import { scriptedDataHalf } from '../../support/scripted-pool.js';

const MAIN = new URL('../../../src/core/worker/worker-main.js', import.meta.url);

t.test('loads the handler, answers commands, ends on stop', async (t) => {
  const wakeFd = eventfd();
  const counters = new SharedArrayBuffer(16);
  const { moduleUrl } = scriptedDataHalf();
  const workerData: WorkerData = {
    handlerModule: moduleUrl,
    handlerOptions: { counters },
    engine: 'threads',
    wakeFd,
    pollUs: 0,
    callsReported: new SharedArrayBuffer(1024),
  };
  const worker = new Worker(MAIN, { workerData });
  const reports: WorkerReport[] = [];
  worker.on('message', (report: WorkerReport) => reports.push(report));
  const exited = once(worker, 'exit');
  worker.postMessage({
    id: 1,
    command: { kind: 'deviceMessage', message: 'a', queues: { first: 0, last: 0 } },
  });
  worker.postMessage({ id: 2, command: { kind: 'stop' } });
  native.eventfdSignal(wakeFd);
  t.same(await exited, [0]);
  t.same(reports, [
    { kind: 'ready', engine: 'threads' },
    { kind: 'answer', id: 1, result: 0 },
    { kind: 'answer', id: 2, result: 0 },
  ]);
  t.same([...new Int32Array(counters)], [0, 0, 1, 1], 'one message, then closed');
  native.fdClose(wakeFd);
});

t.test('runs in a worker only', async (t) => {
  await t.rejects(import(MAIN.href), { name: 'AssertionFailure' });
});
