import t from 'tap';
import { BlkRig, CAPACITY_SECTORS, segment } from '../../support/blk-rig.js';

const [DISCARD, ZEROES] = [11, 13] as const;
const [OK, IOERR, UNSUPP] = [0, 1, 2] as const;
const CAP = BigInt(CAPACITY_SECTORS);
const [EIO, EOPNOTSUPP] = [-5, -95];
const UNMAP = 1;

const end = (status: number) => ({ op: 'complete', chain: 1, tail: status, used: 1 });
const list = (...segments: Uint8Array[]) =>
  Uint8Array.from(segments.flatMap((bytes) => [...bytes]));

t.test('each list as a whole, before anything is done (BK-021, BK-022)', async (t) => {
  const good = segment(0n, 8);
  const rows: readonly (readonly [
    what: string,
    type: number,
    Uint8Array,
    answer: number | 'begun',
  ])[] = [
    ['nothing', DISCARD, list(), IOERR],
    ['half a segment', DISCARD, new Uint8Array(8), IOERR],
    ['a byte over', DISCARD, new Uint8Array(17), IOERR],
    ['64 segments', DISCARD, list(...Array.from({ length: 64 }, () => good)), 'begun'],
    ['65 segments', DISCARD, list(...Array.from({ length: 65 }, () => good)), IOERR],
    ['unmap on discard', DISCARD, segment(0n, 8, UNMAP), UNSUPP],
    ['unmap on zeroes', ZEROES, segment(0n, 8, UNMAP), 'begun'],
    ['reserved flag', ZEROES, segment(0n, 8, 2), UNSUPP],
    ['highest flag', ZEROES, segment(0n, 8, 0x80000000), UNSUPP],
    ['up to the end', DISCARD, segment(CAP - 8n, 8), 'begun'],
    ['over the end', DISCARD, segment(CAP - 8n, 9), IOERR],
    ['behind the end', DISCARD, segment(CAP, 1), IOERR],
    ['wraps', ZEROES, segment((1n << 64n) - 1n, 2), IOERR],
    ['2^55', ZEROES, segment(1n << 55n, 8), IOERR],
    ['too long', ZEROES, segment(0n, 2 ** 22 + 1), IOERR],
    ['longest number', ZEROES, segment(0n, 2 ** 32 - 1), IOERR],
    ['of no length', DISCARD, segment(0n, 0), OK],
    ['the second is bad', DISCARD, list(good, segment(CAP, 8)), IOERR],
  ];
  for (const [what, type, data, answer] of rows) {
    const rig = new BlkRig(t);
    const commands = rig.request({ type, data });
    t.equal(commands.length, 1, what);
    t.match(commands, [answer === 'begun' ? { op: 'allocate' } : end(answer)], what);
  }
});

t.test('ranges of whole blocks', async (t) => {
  const rig = new BlkRig(t, { blockBytes: 4096 });
  t.match(rig.request({ type: DISCARD, data: segment(4n, 8) }), [{ tail: IOERR }]);
  t.match(rig.request({ type: DISCARD, data: segment(0n, 4) }), [{ tail: IOERR }]);
  t.match(rig.request({ type: DISCARD, data: segment(8n, 8) }), [{ op: 'allocate' }]);
});

t.test('one range after the other, then the status', async (t) => {
  const rig = new BlkRig(t);
  const data = list(segment(0n, 8), segment(64n, 0), segment(16n, 1));
  let [command] = rig.request({ type: DISCARD, data });
  t.match(command, { op: 'allocate', offset: 0, length: 4096, mode: 3 });
  [command] = rig.complete(command, 0);
  t.match(command, { op: 'allocate', offset: 8192, length: 512, mode: 3 });
  t.match(rig.complete(command, 0), [end(OK)]);
});

t.test('modes keep the size of the image (I9)', async (t) => {
  for (const [type, flags, mode] of [
    [DISCARD, 0, 3], // PUNCH_HOLE | KEEP_SIZE
    [ZEROES, UNMAP, 3],
    [ZEROES, 0, 17], // ZERO_RANGE | KEEP_SIZE
  ] as const) {
    t.match(new BlkRig(t).request({ type, data: segment(0n, 8, flags) }), [{ mode }]);
  }
});

t.test('file systems that can not', async (t) => {
  const rows: readonly (readonly [
    what: string,
    type: number,
    results: number[],
    steps: object[],
  ])[] = [
    ['a discard is a hint', DISCARD, [EOPNOTSUPP], [end(OK)]],
    [
      'zeroes are written',
      ZEROES,
      [EOPNOTSUPP, 0],
      [{ op: 'writeZeros', offset: 4096, length: 512 }, end(OK)],
    ],
    ['writing them fails', ZEROES, [EOPNOTSUPP, EIO], [{ op: 'writeZeros' }, end(IOERR)]],
    [
      'writing can not either',
      ZEROES,
      [EOPNOTSUPP, EOPNOTSUPP],
      [{ op: 'writeZeros' }, end(IOERR)],
    ],
    ['a real failure', DISCARD, [EIO], [end(IOERR)]],
  ];
  for (const [what, type, results, steps] of rows) {
    const rig = new BlkRig(t);
    let [command] = rig.request({ type, data: segment(8n, 1) });
    for (const [i, result] of results.entries()) {
      const next = rig.complete(command, result);
      t.match(next, [steps[i]], what);
      [command] = next;
    }
  }
});

t.test('the write cache off: stable before the status', async (t) => {
  const rig = new BlkRig(t);
  rig.state.writeback = false;
  let [command] = rig.request({ type: ZEROES, data: segment(0n, 8) });
  [command] = rig.complete(command, 0);
  t.match(command, { op: 'sync' });
  t.match(rig.complete(command, 0), [end(OK)]);
});

t.test('jobs do not mix', async (t) => {
  const rig = new BlkRig(t);
  const jobs = rig.request(
    { type: DISCARD, data: segment(0n, 1) },
    { type: DISCARD, data: segment(8n, 1) },
    { type: ZEROES, data: segment(16n, 1) },
  );
  t.equal(new Set(jobs.map(({ tag }) => tag)).size, 3);
  for (const i of [2, 0, 1]) {
    t.match(rig.complete(jobs[i], 0), [{ ...end(OK), chain: i + 1 }]);
  }
  t.same(rig.complete(jobs[0], 0), [], 'a tag that is over is nobody’s');
});
