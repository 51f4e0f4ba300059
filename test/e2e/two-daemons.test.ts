// Several devices in one process: daemons of the library side by side, each with its own workers.
// Whatever happens to one, the other goes on.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Daemon } from '../../src/core/daemon/daemon.js';
import { listenOnPath } from '../../src/core/daemon/listener.js';
import type { VirtioDevice } from '../../src/core/device.js';
import { SILENT_LOG } from '../../src/core/log.js';
import { encodeFrontendRequest } from '../../src/core/protocol/index.js';
import { BlkDevice } from '../../src/devices/blk/device.js';
import { blkOptionsSchema } from '../../src/devices/blk/options.js';
import { native } from '../../src/native/index.js';
import { BlkDriver, TestFrontend, type TestQueue } from '../../src/testing/index.js';
import { COMPLETE, THROW, USED_COMPLETE } from '../fixtures/scripted-handler.js';
import { pattern, temporaryDirectory } from '../support/disk.js';
import { eventfd, openDescriptors, until } from '../support/resources.js';
import { RecordingDevice } from '../support/session-rig.js';
import { IMAGE_BYTES, makeFile } from './support.js';

const MEMORY_BYTES = 4 << 20;

interface Served {
  readonly socket: string;
  stop(): Promise<void>;
}

function serve(t: Test, directory: string, name: string, device: VirtioDevice): Served {
  const socket = join(directory, name);
  const daemon = new Daemon({
    device,
    listener: listenOnPath(socket),
    log: SILENT_LOG,
    workers: 1,
    engine: 'threads',
    pollUs: 0,
    once: false,
  });
  const ended = daemon.run();
  const stop = async () => {
    daemon.stop();
    await ended;
  };
  t.teardown(stop);
  return { socket, stop };
}

function serveDisk(t: Test, directory: string, name: string): Served & { readonly image: string } {
  const image = join(directory, `${name}.img`);
  makeFile(image, IMAGE_BYTES);
  const device = new BlkDevice(blkOptionsSchema.parse({ image }));
  const { socket, stop } = serve(t, directory, name, device);
  t.teardown(() => device.close());
  return { socket, stop, image };
}

const start = (socket: string) => TestFrontend.start({ socket, memoryBytes: MEMORY_BYTES });

/** Writes and reads on a disk until told to stop; how often it did. */
function keepBusy(driver: BlkDriver): () => Promise<number> {
  let going = true;
  const busy = (async () => {
    let rounds = 0;
    for (; going; rounds++) {
      await driver.write(64, pattern(512, rounds));
      if (Buffer.compare(await driver.read(64, 512), pattern(512, rounds)) !== 0) {
        throw new Error('another disk’s bytes');
      }
    }
    return rounds;
  })();
  return () => {
    going = false;
    return busy;
  };
}

t.test('two disks in one process', async (t) => {
  const directory = temporaryDirectory(t);
  const before = openDescriptors();
  const a = serveDisk(t, directory, 'a');
  const b = serveDisk(t, directory, 'b');
  const [atA, atB] = await Promise.all([start(a.socket), start(b.socket)]);
  const [diskA, diskB] = [new BlkDriver(atA), new BlkDriver(atB)];
  await Promise.all([diskA.write(0, pattern(65536, 1)), diskB.write(0, pattern(65536, 2))]);
  t.equal(Buffer.compare(readFileSync(a.image).subarray(0, 65536), pattern(65536, 1)), 0);
  t.equal(Buffer.compare(readFileSync(b.image).subarray(0, 65536), pattern(65536, 2)), 0);

  let stopBusy = keepBusy(diskB);
  const flood = native.socketConnect(a.socket);
  t.ok(flood >= 0);
  atA.close();
  const getFeatures = encodeFrontendRequest('GET_FEATURES', undefined, { needReply: false });
  const many = Buffer.concat(new Array<Uint8Array>(512).fill(getFeatures));
  let sent = 0;
  await until('CS-017: the one that reads nothing is closed', () => {
    const from = sent % getFeatures.length;
    const got = native.socketSend(flood, many, from, many.length - from, new Int32Array(0), 0);
    sent += Math.max(got, 0);
    return got === -32 || got === -104; // EPIPE, ECONNRESET
  });
  native.fdClose(flood);
  t.ok((await stopBusy()) > 0, 'the other disk is served meanwhile (I5)');

  stopBusy = keepBusy(diskB);
  const again = await start(a.socket);
  const inFlight = new BlkDriver(again).write(0, pattern(65536, 3));
  await a.stop();
  await inFlight;
  t.notOk(existsSync(a.socket), 'one has ended');
  again.close();
  t.ok((await stopBusy()) > 0, 'the other goes on');
  t.same(await diskB.read(0, 512), pattern(65536, 2).subarray(0, 512));
  atB.close();
  await b.stop();
  // The images stay open until the devices are closed: two and their locks.
  t.ok(openDescriptors() <= before + 4, `${openDescriptors() - before} descriptors more`);
});

t.test('CS-044: descriptor numbers above 1024', async (t) => {
  const { socket } = serveDisk(t, temporaryDirectory(t), 's');
  const HIGH = 1100;
  const filler = Array.from({ length: HIGH }, () => eventfd());
  const frontend = await start(socket);
  t.ok(frontend.queue(0).callFd > 1024, 'the session’s are higher still');
  const driver = new BlkDriver(frontend);
  await driver.write(8, pattern(512, 1));
  t.same(await driver.read(8, 512), pattern(512, 1));
  frontend.close();
  for (const fd of filler) {
    native.fdClose(fd);
  }
});

/** Makes one request of a single word available; nothing waits for it. */
function post({ memory }: TestFrontend, queue: TestQueue, word: number): void {
  const offset = memory.allocate(32);
  memory.view.setUint32(offset, word, true);
  queue.ring.add([
    { offset, bytes: 16, writable: false },
    { offset: offset + 16, bytes: 1, writable: true },
  ]);
  if (queue.ring.publish()) {
    queue.kick();
  }
}

t.test('LF-012: a device whose code throws stops its own queues only', async (t) => {
  const directory = temporaryDirectory(t);
  const [a, b] = ['a', 'b'].map((name) => serve(t, directory, name, new RecordingDevice()));
  const atA = await start((a as Served).socket);
  const atB = await start((b as Served).socket);
  post(atA, atA.queue(0), THROW);
  t.ok(await atA.queue(0).signalled(atA.queue(0).errFd), 'its queue is broken');
  t.ok(await atA.frontend.getFeatures(), 'its session is not');
  post(atB, atB.queue(0), COMPLETE);
  t.ok(await atB.queue(0).signalled(atB.queue(0).callFd));
  t.equal(atB.queue(0).ring.takeUsed()[0]?.length, USED_COMPLETE, 'the other device serves');
  atA.close();
  atB.close();
});
