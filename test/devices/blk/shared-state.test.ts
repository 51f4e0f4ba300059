import { Worker } from 'node:worker_threads';
import t from 'tap';
import { SharedState } from '../../../src/devices/blk/shared-state.js';

t.test('two views of one state', async (t) => {
  const control = new SharedState();
  const data = new SharedState(control.buffer);
  t.same([data.writeback, data.failed, data.capacitySectors], [false, false, 0]);
  control.writeback = true;
  t.same([data.writeback, data.failed, data.capacitySectors], [true, false, 0]);
  control.capacitySectors = 2 ** 43 + 1;
  t.same([data.writeback, data.failed, data.capacitySectors], [true, false, 2 ** 43 + 1]);
  data.fail();
  t.same([control.writeback, control.failed, control.capacitySectors], [true, true, 2 ** 43 + 1]);
  control.writeback = false;
  t.same([data.writeback, data.failed], [false, true], 'a failure stays');
});

t.test('across threads', async (t) => {
  const state = new SharedState();
  const url = new URL('../../../src/devices/blk/shared-state.js', import.meta.url).href;
  const code = `import('${url}').then(({ SharedState }) => {
    new SharedState(require('node:worker_threads').workerData).capacitySectors = 77;
  })`;
  const worker = new Worker(code, { eval: true, workerData: state.buffer });
  await new Promise((resolve) => worker.once('exit', resolve));
  t.equal(state.capacitySectors, 77);
});
