// Our front-end, unchanged, against QEMU's vhost-user-blk export. What it shows that our own daemon
// can't: libvhost-user's habits (CONFIG answers, calls on receipt, SET_CONFIG flags).

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  protocolFeatureNames,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../src/core/protocol/index.js';
import {
  BLK_DISCARD,
  BlkDriver,
  isListening,
  STATUS_OK,
  segmentList,
} from '../../src/testing/index.js';
import { spawnTracked } from '../guest/children.js';
import { DeviceRig } from '../support/device-rig.js';
import { temporaryDirectory, until } from '../support/resources.js';
import { makeFile } from './support.js';

const PROGRAM = 'qemu-storage-daemon';
const missing =
  spawnSync(PROGRAM, ['--version']).error === undefined
    ? false
    : `${PROGRAM} is not installed (Debian: qemu-system-common)`;

const IMAGE_BYTES = 8 << 20;
const QUEUES = 2;
const FLUSH = 1n << 9n;
const DISCARD = 1n << 13n;

interface Storage {
  readonly socket: string;
  readonly image: string;
}

async function storageDaemon(t: Test): Promise<Storage> {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  const socket = join(directory, 's');
  makeFile(image, IMAGE_BYTES);
  const child = spawnTracked(
    PROGRAM,
    [
      '--blockdev',
      `driver=file,node-name=disk,filename=${image},discard=unmap`,
      '--export',
      `type=vhost-user-blk,id=e,addr.type=unix,addr.path=${socket},node-name=disk,writable=on,num-queues=${QUEUES}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  t.teardown(async () => {
    child.kill();
    await child.exited;
  });
  await until('the export', () => isListening(socket));
  return { socket, image };
}

const pattern = (bytes: number, seed: number) =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 13 + seed) & 0xff);

const connect = (socket: string) =>
  DeviceRig.connect({ socket, queueCount: QUEUES, driverFeatures: FLUSH | DISCARD });

t.test('negotiates, reads the config space', { skip: missing }, async (t) => {
  const { socket } = await storageDaemon(t);
  const rig = await connect(socket);
  const backend = rig.device.backend as VhostUserFrontend;
  t.comment(protocolFeatureNames(backend.protocolFeatures).join(' '));
  t.ok(backend.protocolFeatures & VHOST_USER_PROTOCOL_F_CONFIG, 'CONFIG');
  t.ok(backend.protocolFeatures & VHOST_USER_PROTOCOL_F_REPLY_ACK, 'REPLY_ACK');
  t.equal(rig.device.queueNum, QUEUES);
  const config = Buffer.from(await rig.device.getConfig(60));
  t.equal(config.readBigUInt64LE() * 512n, BigInt(IMAGE_BYTES), 'capacity');
  t.equal(config.readUInt16LE(34), QUEUES, 'num_queues');
  rig.close();
});

t.test(
  'writes, reads and verifies on both queues, and again later',
  { skip: missing },
  async (t) => {
    const { socket, image } = await storageDaemon(t);
    const rig = await connect(socket);
    await rig.start();
    const driver = new BlkDriver(rig);
    const chunks = Array.from({ length: 64 }, (_, i) => i);
    for (const i of chunks) {
      const [result] = await driver.requests([
        {
          type: 1,
          sector: i * 128,
          out: pattern(65536, i),
          queue: i % QUEUES,
          indirect: i % 3 === 0,
        },
      ]);
      t.equal(result?.status, STATUS_OK, `chunk ${i}`);
    }
    await driver.flush();
    const file = readFileSync(image);
    t.ok(
      chunks.every((i) => file.subarray(i * 65536, (i + 1) * 65536).equals(pattern(65536, i))),
      'file',
    );
    await rig.device.stop();
    await rig.start();
    for (const i of chunks) {
      const read = await driver.read(i * 128, 65536);
      t.ok(Buffer.compare(read, pattern(65536, i)) === 0, `reads chunk ${i} back after a restart`);
    }
    const range = segmentList([{ sector: 0, sectors: 128, flags: 0 }]);
    t.equal((await driver.request({ type: BLK_DISCARD, out: range })).status, STATUS_OK, 'discard');
    await rig.stop();
    const again = await connect(socket);
    await again.start();
    const read = await new BlkDriver(again).read(128, 65536);
    t.ok(Buffer.compare(read, pattern(65536, 1)) === 0, 'still there for the next connection');
    await again.stop();
  },
);

t.test('sixteen requests at a time', { skip: missing }, async (t) => {
  const { socket } = await storageDaemon(t);
  const rig = await connect(socket);
  await rig.start();
  const driver = new BlkDriver(rig);
  const at = Array.from({ length: 16 }, (_, i) => i);
  for (let round = 0; round < 20; round++) {
    const writes = await driver.requests(
      at.map((i) => ({ type: 1, sector: i * 8, out: pattern(4096, round + i) })),
    );
    const reads = await driver.requests(
      at.map((i) => ({ type: 0, sector: i * 8, inBytes: 4096, queue: 1 })),
    );
    t.ok(writes.every(({ status }) => status === STATUS_OK));
    t.ok(reads.every(({ data }, i) => Buffer.compare(data, pattern(4096, round + i)) === 0));
  }
  await rig.stop();
});

t.test('what it refuses is an error here', { skip: missing }, async (t) => {
  const { socket } = await storageDaemon(t);
  const rig = await connect(socket);
  const backend = rig.device.backend as VhostUserFrontend;
  await t.rejects(backend.setStatus(1), { code: 'NOT_NEGOTIATED' }, 'not even sent');
  // trap 8: libvhost-user's export takes a driver's write (flags 0) to writeback.
  await rig.device.setConfig(Uint8Array.of(1), 32, 0);
  t.equal((await rig.device.getConfig(60))[32], 1, 'writeback');
  rig.close();
});

t.test('logs what it writes to guest memory', { skip: missing }, async (t) => {
  const { socket } = await storageDaemon(t);
  const rig = await connect(socket);
  await rig.start();
  const driver = new BlkDriver(rig);
  const { memory, device } = rig;
  const ring = rig.queue(0).driver;
  // Allocated first by the next request, behind its header: where the data goes.
  const dataPage = memory.guestAddress(Math.ceil((memory.mark() + 16) / 4096) * 4096);
  const usedPage = memory.guestAddress(ring.usedOffset & ~4095);
  await driver.read(0, 4096);
  await device.startLog();
  t.same(device.syncLog(), [], 'nothing before it began');
  await driver.read(0, 4096);
  const pages = device.syncLog();
  t.ok(pages.includes(dataPage), 'the data');
  t.ok(pages.includes(usedPage), 'the used ring');
  t.same(device.syncLog(), [], 'each page once');
  await driver.read(0, 4096);
  t.ok((await device.stopLog()).length > 0, 'what came last');
  await driver.read(0, 4096);
  t.same(device.syncLog(), [], 'nothing after it ended');
  await rig.stop();
});
