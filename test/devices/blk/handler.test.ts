import t from 'tap';
import { type BlkRequest, BlkRig, CAPACITY_SECTORS, segment } from '../../support/blk-rig.js';

const [IN, OUT, FLUSH, GET_ID, DISCARD, ZEROES] = [0, 1, 4, 8, 11, 13] as const;
const [OK, IOERR, UNSUPP] = [0, 1, 2] as const;
const CAP = BigInt(CAPACITY_SECTORS);
const EIO = -5;

const end = (status: number) => ({ op: 'complete', flags: 'tail', tail: status, used: 1 });
const read = (offset: number, length: number) => ({
  op: 'read',
  flags: 'complete tail',
  file: 0,
  offset,
  length,
  chainOffset: 0,
  tail: OK,
  used: length + 1,
});
const write = (offset: number, length: number) => ({
  op: 'write',
  flags: 'complete tail',
  file: 0,
  offset,
  length,
  chainOffset: 16,
  tail: OK,
  used: 1,
});

t.test('what a request leads to (BK-001 to BK-022)', async (t) => {
  const rows: readonly (readonly [what: string, BlkRequest, expected: object])[] = [
    ['read a block', { type: IN, sector: 2n, writable: 513 }, read(1024, 512)],
    [
      'read all',
      { type: IN, writable: CAPACITY_SECTORS * 512 + 1 },
      read(0, CAPACITY_SECTORS * 512),
    ],
    ['BK-001 no readable part', { type: IN, readable: 0, writable: 513 }, end(IOERR)],
    ['BK-003 header cut short', { type: IN, readable: 15, writable: 513 }, end(IOERR)],
    [
      'BK-002 no writable part',
      { type: OUT, data: 512, writable: 0 },
      { op: 'complete', flags: '', used: 0 },
    ],
    ['BK-008 status only', { type: IN, writable: 1 }, end(IOERR)],
    ['BK-010 no multiple of 512', { type: IN, writable: 512 }, end(IOERR)],
    ['BK-012 write of nothing', { type: OUT }, end(IOERR)],
    ['BK-010 write of 511', { type: OUT, data: 511 }, end(IOERR)],
    ['write a block', { type: OUT, sector: 1n, data: 512 }, write(512, 512)],
    ['BK-013 the last sector', { type: OUT, sector: CAP - 1n, data: 512 }, write(1048064, 512)],
    ['BK-013 behind the end', { type: OUT, sector: CAP, data: 512 }, end(IOERR)],
    ['BK-013 over the end', { type: IN, sector: CAP - 1n, writable: 1025 }, end(IOERR)],
    ['BK-013 sector * 512 wraps 64 bits', { type: OUT, sector: 1n << 55n, data: 512 }, end(IOERR)],
    ['BK-013 2^55 + 1', { type: OUT, sector: (1n << 55n) + 1n, data: 512 }, end(IOERR)],
    ['BK-013 last of all', { type: IN, sector: (1n << 64n) - 1n, writable: 513 }, end(IOERR)],
    ['BK-018 read with readable data', { type: IN, data: 512, writable: 513 }, read(0, 512)],
    [
      'BK-019 flush with a sector and data',
      { type: FLUSH, sector: 9n, data: 512 },
      { op: 'sync', file: 0, tag: 3 },
    ],
    ['BK-017 unknown', { type: 2 }, end(UNSUPP)],
    ['BK-017 SCSI', { type: 3 }, end(UNSUPP)],
    ['BK-017 lifetime', { type: 10 }, end(UNSUPP)],
    ['BK-017 secure erase', { type: 14 }, end(UNSUPP)],
    ['BK-017 zone report', { type: 16 }, end(UNSUPP)],
    ['BK-017 barrier bit', { type: 0x80000000 + IN, writable: 513 }, end(UNSUPP)],
    ['BK-017 all bits', { type: 0xffffffff }, end(UNSUPP)],
    ['BK-021 discard of no segment', { type: DISCARD }, end(IOERR)],
    ['BK-021 discard of 15 bytes', { type: DISCARD, data: 15 }, end(IOERR)],
    [
      'discard',
      { type: DISCARD, data: segment(8n, 8) },
      { op: 'allocate', offset: 4096, length: 4096, mode: 3 },
    ],
    [
      'zeroes',
      { type: ZEROES, data: segment(0n, 1) },
      { op: 'allocate', offset: 0, length: 512, mode: 17 },
    ],
  ];
  const rig = new BlkRig(t);
  rows.forEach(([what, request, expected], i) => {
    if (request.type !== FLUSH) {
      const commands = rig.request(request);
      t.match(commands, [expected], what);
      t.equal(commands.length, 1, what);
      const hasChain = commands[0]?.op !== 'allocate';
      t.equal(commands[0]?.chain, hasChain ? i + 1 : 0xffffffff, what);
    } else {
      t.match(rig.request(request), [expected], what);
    }
  });
});

t.test('blocks larger than a sector (BK-011)', async (t) => {
  const rig = new BlkRig(t, { blockBytes: 4096 });
  const rows: readonly (readonly [sector: bigint, length: number, fine: boolean])[] = [
    [0n, 4096, true],
    [8n, 8192, true],
    [1n, 4096, false],
    [4n, 4096, false],
    [0n, 512, false],
    [0n, 4608, false],
    [CAP - 8n, 4096, true],
  ];
  for (const [sector, length, fine] of rows) {
    const expected = fine ? read(Number(sector) * 512, length) : end(IOERR);
    t.match(rig.request({ type: IN, sector, writable: length + 1 }), [expected], `${sector}`);
  }
});

t.test('a read-only disk takes no change (BK-016)', async (t) => {
  const rig = new BlkRig(t, { readOnly: true });
  const rows: readonly (readonly [BlkRequest, expected: object])[] = [
    [{ type: IN, writable: 513 }, read(0, 512)],
    [{ type: OUT, data: 512 }, end(IOERR)],
    [{ type: DISCARD, data: segment(0n, 8) }, end(IOERR)],
    [{ type: ZEROES, data: segment(0n, 8) }, end(IOERR)],
    [
      { type: GET_ID, writable: 21 },
      { op: 'complete', tail: OK, used: 21 },
    ],
  ];
  for (const [request, expected] of rows) {
    t.match(rig.request(request), [expected], `type ${request.type}`);
  }
});

t.test('GET_ID fills what there is room for (BK-020)', async (t) => {
  const padded = 'serial-1'.padEnd(20, '\0');
  for (const [room, bytes] of [
    [0, ''],
    [1, 's'],
    [19, padded.slice(0, 19)],
    [20, padded],
    [4096, padded],
  ] as const) {
    const rig = new BlkRig(t);
    t.match(rig.request({ type: GET_ID, writable: room + 1 }), [
      { op: 'complete', tail: OK, used: bytes.length + 1 },
    ]);
    t.same(rig.copiedIn, [{ chain: 1, offset: 0, bytes }], `${room} bytes of room`);
  }
});

t.test('the write cache off: writes are durable', async (t) => {
  const rig = new BlkRig(t);
  rig.state.writeback = false;
  const [first] = rig.request({ type: OUT, data: 512 });
  t.match(first, { op: 'write', flags: 'durable complete tail', tag: 2 });
  t.match(rig.complete(first, EIO), [end(IOERR)]);
  t.equal(rig.state.failed, true, 'pages nobody reports again');
  t.match(rig.request({ type: OUT, data: 512 }), [end(IOERR)]);
  t.match(rig.request({ type: IN, writable: 513 }), [read(0, 512)], 'reading goes on');
});

t.test('transfers that fail end their request (BK-024)', async (t) => {
  const rig = new BlkRig(t);
  for (const request of [
    { type: IN, writable: 513 },
    { type: OUT, data: 512 },
  ]) {
    const [command] = rig.request(request);
    t.match(rig.complete(command, EIO), [{ ...end(IOERR), chain: command?.chain }]);
    t.equal(rig.state.failed, false);
  }
});

t.test('a failed flush is remembered (BK-026)', async (t) => {
  const rig = new BlkRig(t);
  const [sync] = rig.request({ type: FLUSH });
  t.match(rig.complete(sync, EIO), [{ ...end(IOERR), chain: 1 }]);
  t.match(rig.request({ type: FLUSH }, { type: OUT, data: 512 }, { type: DISCARD, data: 16 }), [
    end(IOERR),
    end(IOERR),
    end(IOERR),
  ]);
});

t.test('capacity is read once for each batch', async (t) => {
  const rig = new BlkRig(t);
  const request = { type: IN, sector: CAP, writable: 513 };
  t.match(rig.request(request), [end(IOERR)]);
  rig.state.capacitySectors = CAPACITY_SECTORS + 1;
  t.match(rig.request(request), [read(CAPACITY_SECTORS * 512, 512)]);
});
