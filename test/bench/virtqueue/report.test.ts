import t from 'tap';
import { formatTable } from '../../../bench/virtqueue/report.js';
import { BATCHES } from '../../../bench/virtqueue/result.js';
import { runScriptFace } from '../../../bench/virtqueue/script-face.js';

t.test('a line for each shape, a column for each batch', async (t) => {
  const table = formatTable('native', [
    { shape: 'split/direct/1', batch: 32, popNs: 6.25, publishNs: 4.5 },
    { shape: 'packed/direct/1', batch: 1, popNs: 1, publishNs: 2 },
  ]);
  t.same(table.split('\n'), [
    '| native | batch 1 | batch 8 | batch 32 | batch 256 |',
    '| --- | --- | --- | --- | --- |',
    '| split/direct/1 | - | - | 10.8 (6.3 + 4.5) | - |',
    '| packed/direct/1 | 3.0 (1.0 + 2.0) | - | - | - |',
  ]);
});

t.test('both faces run, and every chain comes back', async (t) => {
  for (const face of ['batch', 'plain'] as const) {
    const results = runScriptFace(face, 16, 1, 2);
    t.equal(results.length, 6 * BATCHES.length);
    t.ok(results.every(({ popNs, publishNs }) => popNs > 0 && publishNs > 0));
  }
});
