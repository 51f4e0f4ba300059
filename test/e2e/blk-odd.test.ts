// BK rows of odd layouts, of what lies behind the disk, and of requests beyond what one system call
// moves.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  BLK_IN,
  BLK_OUT,
  BlkDriver,
  DaemonProcess,
  STATUS_IOERR,
  STATUS_OK,
  STATUS_UNWRITTEN,
  TestFrontend,
} from '../../src/testing/index.js';
import { pattern, temporaryDirectory } from '../support/disk.js';
import { until } from '../support/resources.js';
import { type Descriptor, errors, I, N, QUEUE_SIZE, RawChains, renew, W } from './raw-chains.js';
import { checkHealthy, drained, IMAGE_BYTES, makeFile, type Scene, withDaemon } from './support.js';

const MEMORY_BYTES = 4 << 20;
/** Where in the page of RawChains the requests below put their parts. */
const AT = 32 << 10;

interface Layout {
  readonly id: string;
  readonly type: number;
  /** Bytes of the header's reserved word. */
  readonly reserved?: number;
  chain(raw: RawChains): readonly Descriptor[];
  readonly usedBytes: number;
  /** Of the status byte, by its place in the page. */
  readonly status: readonly [at: number, value: number];
}

const HEADER_AT = AT;
const DATA_AT = AT + 16;
const STATUS_AT = DATA_AT + 4096;

const LAYOUTS: readonly Layout[] = [
  {
    id: 'BK-005: header and data in one descriptor',
    type: BLK_OUT,
    chain: (raw) => [
      [raw.at(HEADER_AT), 16 + 4096, N, 1],
      [raw.at(STATUS_AT), 1, W],
    ],
    usedBytes: 1,
    status: [STATUS_AT, STATUS_OK],
  },
  {
    id: 'BK-006: data and status in one descriptor',
    type: BLK_IN,
    chain: (raw) => [
      [raw.at(HEADER_AT), 16, N, 1],
      [raw.at(DATA_AT), 4097, W],
    ],
    usedBytes: 4097,
    status: [STATUS_AT, STATUS_OK],
  },
  {
    id: 'BK-006: the last part of the data and the status in one descriptor',
    type: BLK_IN,
    chain: (raw) => [
      [raw.at(HEADER_AT), 16, N, 1],
      [raw.at(DATA_AT), 4000, W | N, 2],
      [raw.at(DATA_AT + 4000), 97, W],
    ],
    usedBytes: 4097,
    status: [STATUS_AT, STATUS_OK],
  },
  {
    id: 'BK-008: a status and nothing else',
    type: BLK_IN,
    chain: (raw) => [[raw.at(STATUS_AT), 1, W]],
    usedBytes: 1,
    status: [STATUS_AT, STATUS_IOERR],
  },
  {
    id: 'BK-033: garbage in the reserved word',
    type: BLK_OUT,
    reserved: 0xdeadbeef,
    chain: (raw) => [
      [raw.at(HEADER_AT), 16, N, 1],
      [raw.at(DATA_AT), 4096, N, 2],
      [raw.at(STATUS_AT), 1, W],
    ],
    usedBytes: 1,
    status: [STATUS_AT, STATUS_OK],
  },
];

const SECTOR = 16;

async function checkLayout(
  frontend: TestFrontend,
  layout: Layout,
): Promise<{ used: number | undefined; status: number | undefined; intact: boolean }> {
  const { id, type, reserved = 0, chain, status } = layout;
  const raw = new RawChains(frontend);
  const { bytes, view } = frontend.memory;
  const written = pattern(4096, id.length);
  const data = raw.page + DATA_AT;
  bytes.set(type === BLK_OUT ? written : new Uint8Array(4096), data);
  bytes[raw.page + STATUS_AT] = STATUS_UNWRITTEN;
  view.setUint32(raw.page + HEADER_AT, type, true);
  view.setUint32(raw.page + HEADER_AT + 4, reserved, true);
  view.setBigUint64(raw.page + HEADER_AT + 8, BigInt(SECTOR), true);
  raw.table(...chain(raw)).offer(0);
  await drained(frontend);
  const [element] = raw.ring.takeUsed();
  return {
    used: element?.length,
    status: bytes[raw.page + status[0]],
    intact: Buffer.compare(bytes.subarray(data, data + 4096), written) === 0,
  };
}

t.test('odd layouts', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ queueSize: QUEUE_SIZE });
    const mark = frontend.memory.mark();
    for (const layout of LAYOUTS) {
      frontend.memory.reset(mark);
      await renew(frontend);
      if (layout.type === BLK_IN) {
        const before = new BlkDriver(frontend);
        await before.write(SECTOR, pattern(4096, layout.id.length));
        await renew(frontend);
      }
      const { used, status, intact } = await checkLayout(frontend, layout);
      t.same([used, status], [layout.usedBytes, layout.status[1]], layout.id);
      if (status === STATUS_OK) {
        t.ok(intact, `${layout.id}: the data`);
        const onDisk = readFileSync(scene.image).subarray(SECTOR * 512, SECTOR * 512 + 4096);
        t.equal(Buffer.compare(onDisk, pattern(4096, layout.id.length)), 0, 'on the disk');
      }
    }
    for (const outside of [0n, 2n ** 64n - 1n, frontend.memory.guestAddress(4 << 20)]) {
      frontend.memory.reset(mark);
      await renew(frontend);
      const raw = new RawChains(frontend);
      raw.table([raw.header, 16, N, 1], [raw.data, 512, N, 2], [outside, 1, W]).offer(0);
      const { errFd } = frontend.queue(0);
      t.ok(
        await frontend.queue(0).signalled(errFd, 2000),
        `BK-009: a status at 0x${outside.toString(16)} stops the queue`,
      );
    }
    await renew(frontend);
    t.equal(errors(frontend.queue(0)), 0);
    frontend.close();
    await checkHealthy(t, scene, 'odd layouts');
  });
});

/** More than the kernel moves in one call (2^31 - 4096 bytes), and 64 KiB over 2^31. */
const HUGE_PIECE_BYTES = 3 << 20;
const HUGE_PIECES = 683;
const HUGE_BYTES = HUGE_PIECE_BYTES * HUGE_PIECES;

t.test('BK-015: one read of more than 0x7ffff000 bytes', async (t) => {
  // Holes of a file in memory are read without a page of cache for each.
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vt-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const image = join(directory, 'disk.img');
  const socket = join(directory, 's');
  makeFile(image, 3 * 2 ** 30);
  const daemon = await DaemonProcess.blk(socket, ['--image', image]);
  t.teardown(() => daemon.stop());
  const options = { socket, queueSize: QUEUE_SIZE, memoryBytes: MEMORY_BYTES };
  const frontend = await TestFrontend.start(options);
  await new BlkDriver(frontend).write(HUGE_BYTES / 512 - 1, pattern(512, 9));
  await renew(frontend);
  const raw = new RawChains(frontend);
  const { bytes, view } = frontend.memory;
  view.setUint32(Number(raw.header - frontend.memory.guestBase), BLK_IN, true);
  // All pieces at one place: what is left there in the end is the last one.
  const page = frontend.memory.allocate(HUGE_PIECE_BYTES, 4096);
  const piece = frontend.memory.guestAddress(page);
  const pieces = Array.from(
    { length: HUGE_PIECES },
    (_, i) => [piece, HUGE_PIECE_BYTES, N | W, i + 2] as const,
  );
  raw
    .indirect([[raw.header, 16, N, 1], ...pieces, [raw.status, 1, W]])
    .table([raw.at(), (HUGE_PIECES + 2) * 16, I])
    .offer(0);
  await until('the read', () => raw.ring.publishedUsed === raw.ring.availIndex);
  t.equal(raw.ring.takeUsed()[0]?.length, HUGE_BYTES + 1, 'all of it');
  t.equal(raw.statusByte, STATUS_OK);
  const end = page + HUGE_PIECE_BYTES;
  t.same(bytes.slice(end - 512, end), pattern(512, 9), 'to the last sector');
  frontend.close();
});

const GROWN_BYTES = IMAGE_BYTES + (1 << 20);

/** Keeps 8 writes in flight at the begin of the disk until told to stop. */
function keepWriting(frontend: TestFrontend): () => Promise<boolean> {
  const driver = new BlkDriver(frontend);
  const out = pattern(4096, 4);
  const batch = Array.from({ length: 8 }, (_, i) => ({ type: BLK_OUT, sector: i * 8, out }));
  let going = true;
  const writing = (async () => {
    let fine = true;
    while (going) {
      fine &&= (await driver.requests(batch)).every(({ status }) => status === STATUS_OK);
    }
    return fine;
  })();
  return () => {
    going = false;
    return writing;
  };
}

async function resize({ daemon, image }: Scene, bytes: number): Promise<void> {
  const seen = daemon.stderr.length;
  truncateSync(image, bytes);
  daemon.signal('SIGHUP');
  await until('the image is measured', () => daemon.stderr.slice(seen).includes('measured'));
}

t.test('BK-030: the image grows and shrinks under requests', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const stop = keepWriting(frontend);
    for (let i = 0; i < 5; i++) {
      await resize(scene, GROWN_BYTES);
      await resize(scene, IMAGE_BYTES / 2);
    }
    t.ok(await stop(), 'requests in what is left all succeed');
    const driver = new BlkDriver(frontend);
    const beyond = { type: BLK_IN, sector: IMAGE_BYTES / 512 - 8, inBytes: 4096 };
    t.equal((await driver.request(beyond)).status, STATUS_IOERR, 'what is gone can’t be read');
    await resize(scene, GROWN_BYTES);
    t.equal((await driver.request(beyond)).status, STATUS_OK, 'and comes back as zeroes');
    frontend.close();
    t.equal(statSync(scene.image).size, GROWN_BYTES, 'I9: no write changed the size');
    await checkHealthy(t, scene, 'BK-030');
  });
});

t.test('BK-031: a header of another format, written by the guest, stays data', async (t) => {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  const socket = join(directory, 's');
  makeFile(image, IMAGE_BYTES);
  // A qcow2 of 1 TiB with /etc/hostname behind it in front, the footer of a VHD at the end.
  const qcow2 = Buffer.alloc(512);
  qcow2.set([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 13]);
  qcow2.writeBigUInt64BE(2n ** 40n, 24);
  qcow2.write('/etc/hostname', 256);
  const vhd = Buffer.alloc(512);
  vhd.write('conectix');
  const lastSector = IMAGE_BYTES / 512 - 1;
  const daemon = await DaemonProcess.blk(socket, ['--image', image]);
  const writer = await TestFrontend.start({ socket, memoryBytes: MEMORY_BYTES });
  await new BlkDriver(writer).write(0, qcow2);
  await new BlkDriver(writer).write(lastSector, vhd);
  writer.close();
  await daemon.stop();
  const again = await DaemonProcess.blk(socket, ['--image', image]);
  t.teardown(() => again.stop());
  const reader = await TestFrontend.start({ socket, memoryBytes: MEMORY_BYTES });
  const config = Buffer.from(await reader.frontend.getConfig(0, 8));
  t.equal(config.readBigUInt64LE(), BigInt(IMAGE_BYTES / 512), 'the size is the file’s');
  const driver = new BlkDriver(reader);
  t.equal(Buffer.compare(await driver.read(0, 512), qcow2), 0, 'sector 0 is what was written');
  t.equal(Buffer.compare(await driver.read(lastSector, 512), vhd), 0, 'so is the last one');
  reader.close();
});
