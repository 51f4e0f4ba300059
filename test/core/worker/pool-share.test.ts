// Several devices on one pool: each sees its own queues, memory and faults.

import t from 'tap';
import type { DataHalf } from '../../../src/core/device.js';
import { SharedPool } from '../../../src/core/worker/pool-share.js';
import type { WorkerPoolEvents } from '../../../src/core/worker/worker-pool.js';
import { NO_LOG, native } from '../../../src/native/index.js';
import { scriptedDataHalf } from '../../support/scripted-pool.js';

function open(dataHalf: DataHalf = scriptedDataHalf()) {
  const pool = new SharedPool(
    { queuesPerThread: [-1n], dataHalf, engine: 'threads', pollUs: 0 },
    [2, 3],
  );
  const told: string[] = [];
  pool.shares.forEach((share, i) => {
    const events: WorkerPoolEvents = {
      queueBroken: (queue, fault) => told.push(`${i} broken ${queue} ${fault}`),
      kickLost: (queue) => told.push(`${i} kick lost ${queue}`),
      inbandCall: (queue) => told.push(`${i} call ${queue}`),
      handlerFailed: () => told.push(`${i} handler failed`),
      workerFailed: () => told.push(`${i} worker failed`),
    };
    share.events = events;
  });
  return { pool, told, shares: pool.shares };
}

t.test('queues follow one another', async (t) => {
  const { pool, shares } = open();
  t.same(
    shares.map(({ queues }) => queues),
    [
      { first: 0, last: 1 },
      { first: 2, last: 4 },
    ],
  );
  t.equal(await shares[1]?.ready(), 'threads');
  await pool.close();
});

t.test('memory, log and messages of one are not those of the other', async (t) => {
  const { pool, shares, told } = open();
  const memory = native.memoryCreate();
  for (const share of shares) {
    await share.changeMemory(memory);
    await share.setLog(NO_LOG, false);
    await share.tellHandlers('nothing');
    t.equal(await share.enableVring(0, true), 0);
  }
  native.memoryRelease(memory);
  t.same(told, []);
  await pool.close();
});

t.test('a worker that dies is told to all of them', async (t) => {
  const { told } = open({ moduleUrl: 'file:///none.js', options: {} });
  while (told.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.same(told.slice(0, 2), ['0 worker failed', '1 worker failed']);
});
