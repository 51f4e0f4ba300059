// The disk through the whole daemon: every request type, every layout, every limit. Ids are those of
// the catalogue of bad input.

import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import t from 'tap';
import { Connection } from '../../src/core/connection/connection.js';
import {
  BLK_DISCARD,
  BLK_FLUSH,
  BLK_GET_ID,
  BLK_IN,
  BLK_OUT,
  BLK_WRITE_ZEROES,
  type BlkRequest,
  STATUS_IOERR,
  STATUS_OK,
  STATUS_UNSUPP,
  STATUS_UNWRITTEN,
  segmentList,
  socketPair,
} from '../../src/testing/index.js';
import { IMAGE_BYTES, pattern, startDisk } from '../support/disk.js';

/** For tests that leave it as it was. */
const disk = await startDisk(t);
const SECTORS = IMAGE_BYTES / 512;
const FLUSH_AND_WCE = (1n << 9n) | (1n << 11n);

t.test('reads what was written, in every layout', async (t) => {
  for (const args of [[], ['--aio', 'threads'], ['--cache', 'writethrough'], ['--cache', 'none']]) {
    const disk = await startDisk(t, args);
    const { driver, end } = await disk.connect();
    const layouts: Partial<BlkRequest>[] = [
      {},
      { indirect: true },
      { pieceBytes: 1000, indirect: true },
      { pieceBytes: 513 },
      { pieceBytes: 5, indirect: true }, // BK-004: the header over four descriptors
      { misalign: 1 }, // BK-028
      { misalign: 511, pieceBytes: 700 },
    ];
    for (const [i, layout] of layouts.entries()) {
      const bytes = layout.pieceBytes === 5 ? 2048 : 4096 * (i + 1);
      const data = pattern(bytes, i);
      const name = `${args.join(' ')} ${JSON.stringify(layout)}`;
      const sector = i * 128;
      const write = await driver.request({ type: BLK_OUT, sector, out: data, ...layout });
      t.same([write.status, write.usedBytes], [STATUS_OK, 1], `write ${name}`);
      const read = await driver.request({ type: BLK_IN, sector, inBytes: bytes, ...layout });
      t.same([read.status, read.usedBytes], [STATUS_OK, bytes + 1], `read ${name} (RG-048)`);
      t.equal(Buffer.compare(read.data, data), 0, `data ${name}`);
    }
    await driver.flush();
    await end();
    const file = readFileSync(disk.image);
    t.equal(file.length, IMAGE_BYTES, 'I9: the image did not grow');
    t.equal(Buffer.compare(file.subarray(0, 4096), pattern(4096, 0)), 0, 'it is in the file');
  }
});

t.test('queues, block sizes, features left out', async (t) => {
  for (const [queues, blockSize] of [
    [1, 512],
    [4, 512],
    [1, 4096],
    [4, 4096],
  ] as const) {
    const args = ['--num-queues', `${queues}`, '--block-size', `${blockSize}`, '--workers', '2'];
    const disk = await startDisk(t, args);
    for (const withoutFeatures of [0n, 1n << 29n, FLUSH_AND_WCE]) {
      const { driver, end } = await disk.connect({ queues, withoutFeatures });
      await Promise.all(
        Array.from({ length: queues }, async (_, queue) => {
          const data = pattern(8192, queue);
          const sector = queue * 1024;
          await driver.request({ type: BLK_OUT, sector, out: data, queue });
          const read = await driver.request({ type: BLK_IN, sector, inBytes: 8192, queue });
          t.equal(Buffer.compare(read.data, data), 0, `queue ${queue} of ${queues}`);
        }),
      );
      const half = await driver.request({ type: BLK_IN, sector: 1, inBytes: 512 });
      const wanted = blockSize === 512 ? STATUS_OK : STATUS_IOERR;
      t.equal(half.status, wanted, `BK-011 one sector of ${blockSize} byte blocks`);
      await end();
    }
  }
});

t.test('limits of requests', async (t) => {
  const disk = await startDisk(t, ['--serial', 'ABC']);
  const { driver, frontend, end } = await disk.connect();
  const read = (sector: number | bigint, inBytes: number) => ({ type: BLK_IN, sector, inBytes });
  const write = (sector: number | bigint, bytes: number) => ({
    type: BLK_OUT,
    sector,
    out: new Uint8Array(bytes),
  });
  const ranges = (type: number, list: Uint8Array) => ({ type, out: list });
  const one = (sector: number | bigint, sectors: number, flags = 0) =>
    segmentList([{ sector, sectors, flags }]);
  const rows: [id: string, request: BlkRequest, status: number][] = [
    ['BK-010 length no multiple of 512', read(0, 700), STATUS_IOERR],
    ['BK-010 the same written', write(0, 511), STATUS_IOERR],
    ['BK-012 length zero', read(0, 0), STATUS_IOERR],
    ['BK-013 sector = capacity', read(SECTORS, 512), STATUS_IOERR],
    ['BK-013 sector = capacity + 1', write(SECTORS + 1, 512), STATUS_IOERR],
    ['BK-013 end = capacity', read(SECTORS - 1, 512), STATUS_OK],
    ['BK-013 2^55', read(1n << 55n, 512), STATUS_IOERR],
    ['BK-013 2^64 - 1', write((1n << 64n) - 1n, 512), STATUS_IOERR],
    ['BK-014 sum beyond the end', { ...read(SECTORS - 8, 8192), pieceBytes: 512 }, STATUS_IOERR],
    ['BK-017 SCSI', { type: 2 }, STATUS_UNSUPP],
    ['BK-017 zone report', { type: 16 }, STATUS_UNSUPP],
    ['BK-017 barrier bit', { type: 0x80000001, out: new Uint8Array(512) }, STATUS_UNSUPP],
    ['BK-017 2^32 - 1', { type: 0xffffffff }, STATUS_UNSUPP],
    ['BK-018 OUT without data', { type: BLK_OUT }, STATUS_IOERR],
    ['BK-018 IN without room', { type: BLK_IN }, STATUS_IOERR],
    ['BK-018 IN with readable data', { ...read(0, 512), out: new Uint8Array(9) }, STATUS_OK],
    ['BK-019 FLUSH with a sector', { type: BLK_FLUSH, sector: 7 }, STATUS_OK],
    ['BK-019 FLUSH with data', { type: BLK_FLUSH, out: new Uint8Array(512) }, STATUS_OK],
    ['BK-020 no room', { type: BLK_GET_ID }, STATUS_OK],
    ['BK-020 one byte', { type: BLK_GET_ID, inBytes: 1 }, STATUS_OK],
    ['BK-020 4096 bytes', { type: BLK_GET_ID, inBytes: 4096 }, STATUS_OK],
    ['BK-021 no segment', ranges(BLK_DISCARD, new Uint8Array(0)), STATUS_IOERR],
    ['BK-021 15 bytes', ranges(BLK_DISCARD, new Uint8Array(15)), STATUS_IOERR],
    ['BK-021 17 bytes', ranges(BLK_WRITE_ZEROES, new Uint8Array(17)), STATUS_IOERR],
    [
      'BK-021 65 segments',
      ranges(BLK_DISCARD, segmentList(Array(65).fill({ sector: 0, sectors: 1, flags: 0 }))),
      STATUS_IOERR,
    ],
    [
      'BK-021 64 segments, overlapping, over 13 byte descriptors',
      {
        ...ranges(BLK_DISCARD, segmentList(Array(64).fill({ sector: 8, sectors: 8, flags: 0 }))),
        pieceBytes: 13,
        indirect: true,
      },
      STATUS_OK,
    ],
    ['BK-022 beyond the end', ranges(BLK_DISCARD, one(SECTORS - 1, 2)), STATUS_IOERR],
    ['BK-022 wraps', ranges(BLK_WRITE_ZEROES, one((1n << 64n) - 1n, 2)), STATUS_IOERR],
    ['BK-022 more than the limit', ranges(BLK_DISCARD, one(0, 0xffffffff)), STATUS_IOERR],
    ['BK-022 unmap on a discard', ranges(BLK_DISCARD, one(8, 8, 1)), STATUS_UNSUPP],
    ['BK-022 reserved flag', ranges(BLK_WRITE_ZEROES, one(8, 8, 2)), STATUS_UNSUPP],
    ['zeroes that may unmap', ranges(BLK_WRITE_ZEROES, one(8, 8, 1)), STATUS_OK],
  ];
  for (const [id, request, status] of rows) {
    t.equal((await driver.request(request)).status, status, id);
  }
  t.equal(await driver.serial(), 'ABC');
  const id = await driver.request({ type: BLK_GET_ID, inBytes: 40 });
  t.ok(
    id.data.subarray(20).every((byte) => byte === 0xcd),
    'I7: nothing behind the 20 bytes',
  );
  t.same([id.usedBytes, frontend.frontend.connection.closed], [21, false]);
  await end();
  t.equal(readFileSync(disk.image).length, IMAGE_BYTES, 'I9: the image did not grow');
});

t.test('chains without header or without status', async (t) => {
  const { frontend, driver, end } = await disk.connect();
  const { ring } = frontend.queue(0);
  const at = frontend.memory.allocate(4096);
  frontend.memory.bytes.fill(STATUS_UNWRITTEN, at, at + 4096);
  const rows: [
    id: string,
    buffers: Parameters<typeof ring.add>[0],
    used: number,
    status: number,
  ][] = [
    ['BK-001 no readable part', [{ offset: at, bytes: 1, writable: true }], 1, STATUS_IOERR],
    [
      'BK-003 15 bytes of header',
      [
        { offset: at + 8, bytes: 15, writable: false },
        { offset: at, bytes: 1, writable: true },
      ],
      1,
      STATUS_IOERR,
    ],
    ['BK-002 no writable part', [{ offset: at + 8, bytes: 16, writable: false }], 0, 0xee],
    [
      'BK-007 status of length zero',
      [
        { offset: at + 8, bytes: 16, writable: false },
        { offset: at, bytes: 0, writable: true },
      ],
      0,
      0xee,
    ],
  ];
  for (const [id, buffers, used, status] of rows) {
    frontend.memory.bytes[at] = STATUS_UNWRITTEN;
    ring.add(buffers);
    if (ring.publish()) {
      frontend.queue(0).kick();
    }
    let elements = ring.takeUsed();
    while (elements.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      elements = ring.takeUsed();
    }
    t.same([elements[0]?.length, frontend.memory.bytes[at]], [used, status], id);
  }
  await driver.write(0, new Uint8Array(512));
  await end();
});

t.test('BK-016 a read-only disk is not written', async (t) => {
  const disk = await startDisk(t, ['--read-only']);
  for (const withoutFeatures of [0n, 1n << 5n]) {
    const { driver, end } = await disk.connect({ withoutFeatures });
    const list = segmentList([{ sector: 0, sectors: 8, flags: 0 }]);
    for (const type of [BLK_OUT, BLK_DISCARD, BLK_WRITE_ZEROES]) {
      const out = type === BLK_OUT ? pattern(512, 1) : list;
      t.equal((await driver.request({ type, out })).status, STATUS_IOERR, `type ${type}`);
    }
    t.same(await driver.read(0, 512), new Uint8Array(512));
    t.equal((await driver.request({ type: BLK_FLUSH })).status, STATUS_OK, 'flush');
    await end();
  }
});

t.test('BK-015 large and many-segmented transfers', async (t) => {
  const disk = await startDisk(t);
  const { driver, end } = await disk.connect({ memoryBytes: 64 << 20 });
  const data = pattern(2 << 20, 5);
  // A table of 1022 pieces, header and status: the longest of a ring of 128.
  const cut = { pieceBytes: 2053, indirect: true };
  await driver.request({ type: BLK_OUT, sector: 64, out: data });
  const read = await driver.request({ type: BLK_IN, sector: 64, inBytes: data.length, ...cut });
  t.equal(read.status, STATUS_OK);
  t.equal(Buffer.compare(read.data, data), 0);
  await end();
});

t.test('BK-032 many at once, overlapping, out of order', async (t) => {
  const { driver, end } = await disk.connect();
  const writes = Array.from({ length: 24 }, (_, i) => ({
    type: BLK_OUT,
    sector: (i % 3) * 4,
    out: new Uint8Array(4096).fill(i + 1),
  }));
  const results = await driver.requests(writes);
  t.ok(results.every(({ status }) => status === STATUS_OK));
  const read = await driver.read(0, 8192);
  for (let sector = 0; sector < 16; sector++) {
    const bytes = read.subarray(sector * 512, sector * 512 + 512);
    t.ok(
      bytes.every((byte) => byte === bytes[0]),
      `sector ${sector} is one of the writes`,
    );
  }
  await end();
});

t.test('BK-025 a backing file cut short', async (t) => {
  const disk = await startDisk(t);
  const { driver, end } = await disk.connect();
  truncateSync(disk.image, 4096);
  const beyond = await driver.request({ type: BLK_IN, sector: 64, inBytes: 4096 });
  t.equal(beyond.status, STATUS_IOERR, 'never success on a short read');
  t.equal((await driver.request({ type: BLK_IN, inBytes: 4096 })).status, STATUS_OK);
  await end();
});

t.test('a grown image is told to the driver', async (t) => {
  const disk = await startDisk(t);
  const { driver, frontend, end } = await disk.connect();
  const [ours, theirs] = socketPair();
  await frontend.frontend.setBackendReqFd(theirs);
  const channel = new Connection(ours);
  appendFileSync(disk.image, new Uint8Array(1 << 20));
  disk.daemon.signal('SIGHUP');
  const message = await channel.receive();
  t.equal(message?.header.request, 2, 'CONFIG_CHANGE_MSG');
  const config = await frontend.frontend.getConfig(0, 8);
  const sectors = new DataView(config.buffer, config.byteOffset).getBigUint64(0, true);
  t.equal(sectors, BigInt(SECTORS + 2048));
  await driver.write(SECTORS + 2047, new Uint8Array(512).fill(9));
  truncateSync(disk.image, 0);
  disk.daemon.signal('SIGHUP');
  await frontend.frontend.getConfig(0, 8);
  t.ok(disk.daemon.alive, 'a shrunk one is left alone');
  channel.close();
  await end();
});

t.test('BK-029 write cache mode by config space', async (t) => {
  const { driver, frontend, end } = await disk.connect();
  const writeback = async () => (await frontend.frontend.getConfig(32, 1))[0];
  t.equal(await writeback(), 1, 'on by default');
  await frontend.frontend.setConfig(32, Uint8Array.of(0));
  t.equal(await writeback(), 0);
  await driver.write(0, pattern(4096, 1));
  for (const [offset, bytes] of [
    [32, [2]],
    [31, [1]],
    [32, [1, 1]],
    [0, [1, 2, 3, 4, 5, 6, 7, 8]],
  ] as const) {
    await t.rejects(frontend.frontend.setConfig(offset, Uint8Array.from(bytes)), {
      code: 'PEER_REFUSED',
    });
  }
  t.equal(await writeback(), 0, 'CS-141: nothing of that was taken');
  await frontend.frontend.setConfig(32, Uint8Array.of(1), 1);
  t.equal(await writeback(), 1, 'trap 8: flags 1 is a driver write for rust-vmm');
  await end();
  const again = await disk.connect({ withoutFeatures: 1n << 9n });
  t.equal((await again.frontend.frontend.getConfig(32, 1))[0], 0, 'no FLUSH: write-through');
  await again.end();
});

t.test('LF-002 SIGTERM drains and ends with 0, the socket is gone', async (t) => {
  const disk = await startDisk(t);
  const { driver, frontend } = await disk.connect();
  await driver.write(0, pattern(4096, 3));
  const { code } = await disk.daemon.stop();
  t.equal(code, 0);
  frontend.close();
});

t.test('idle costs nothing', async (t) => {
  const { driver, end } = await disk.connect();
  for (let i = 0; i < 200; i++) {
    await driver.read(0, 4096);
  }
  const before = disk.daemon.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  t.ok(disk.daemon.cpuSeconds() - before <= 0.02, 'no spin without requests');
  await end();
});
