import t from 'tap';
import { allCases } from '../../../bench/blk/cases.js';
import { loadArguments, ringEntries } from '../../../bench/blk/load-generator.js';

t.test('a ring holds the whole depth', async (t) => {
  const table: [number, boolean, number][] = [
    [128, false, 256],
    [1, true, 256],
    [85, true, 256],
    [86, true, 512],
    [128, true, 512],
  ];
  for (const [depth, directChains, entries] of table) {
    t.equal(ringEntries(depth, directChains), entries, `depth ${depth}`);
  }
});

t.test('every case becomes checked load of its shape', async (t) => {
  const daemon = { socketPath: '/s', pid: 42 };
  const settings = { binary: '', seconds: 1, directChains: false, pinCpu: 0 };
  for (const benchCase of allCases()) {
    const text = loadArguments(benchCase, settings, daemon).join(' ');
    t.match(text, `--rw ${benchCase.rw} --bs ${benchCase.blockBytes} --qd ${benchCase.depth} `);
    t.match(text, '--verify --indirect');
    t.equal(text.includes('--size'), benchCase.rw.endsWith('write'), 'only writes stay in a part');
  }
});
