// CS-016: front-ends that take their time. A daemon in this process, whose limits are short.

import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Daemon } from '../../src/core/daemon/daemon.js';
import { listenOnPath } from '../../src/core/daemon/listener.js';
import { SILENT_LOG } from '../../src/core/log.js';
import { BlkDevice } from '../../src/devices/blk/device.js';
import { blkOptionsSchema } from '../../src/devices/blk/options.js';
import { BlkDriver, TestFrontend } from '../../src/testing/index.js';
import { temporaryDirectory } from '../support/disk.js';
import { pause } from './support.js';

const LIMIT_MS = 150;
/** Later than the limit by no more than this, on a busy machine. */
const LATE_MS = 1500;

/** SET_FEATURES that announces 4 KiB: no drip ends that in time. */
const SET_FEATURES = Uint8Array.from([2, 0, 0, 0, 1, 0, 0, 0, 0, 16, 0, 0]);

const SLOW: readonly (readonly [string, (socket: Socket) => void])[] = [
  ['nothing at all', () => {}],
  ['half a header', (socket) => socket.write(SET_FEATURES.subarray(0, 6))],
  ['a header and no payload', (socket) => socket.write(SET_FEATURES)],
  [
    'a byte now and then',
    (socket) => {
      const bytes = [...SET_FEATURES];
      const timer = setInterval(() => {
        socket.write(Uint8Array.of(bytes.shift() ?? 0));
      }, LIMIT_MS / 3);
      socket.once('close', () => clearInterval(timer));
    },
  ],
];

t.test('CS-016: slow front-ends are sent away', async (t) => {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  const path = join(directory, 's');
  writeFileSync(image, '');
  truncateSync(image, 1 << 20);
  const device = new BlkDevice(blkOptionsSchema.parse({ image }));
  const daemon = new Daemon({
    device,
    listener: listenOnPath(path),
    log: SILENT_LOG,
    workers: 1,
    engine: 'threads',
    pollUs: 0,
    once: false,
    handshakeTimeoutMs: LIMIT_MS,
    messageTimeoutMs: LIMIT_MS,
  });
  const served = daemon.run();
  t.teardown(async () => {
    daemon.stop();
    await served;
    device.close();
  });
  for (const [what, send] of SLOW) {
    const socket = connect(path);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.resume();
    const sinceMs = performance.now();
    send(socket);
    const closed = await Promise.race([
      new Promise<boolean>((resolve) => socket.once('close', () => resolve(true))),
      pause(LIMIT_MS + LATE_MS).then(() => false),
    ]);
    const afterMs = performance.now() - sinceMs;
    t.ok(closed && afterMs >= LIMIT_MS * 0.9, `${what}: closed after ${afterMs.toFixed(0)} ms`);
    socket.destroy();
  }
  const patient = await TestFrontend.start({ socket: path, memoryBytes: 4 << 20 });
  await pause(3 * LIMIT_MS);
  await new BlkDriver(patient).write(0, new Uint8Array(512));
  t.ok(await patient.frontend.getFeatures(), 'silence between messages has no limit');
  patient.close();
});
