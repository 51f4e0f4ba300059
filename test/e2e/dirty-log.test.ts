// The dirty log of a live migration on a real daemon: what the disk writes into guest memory is in
// the bitmap, on and off while it works, and hostile areas harm nobody. Ids are those of the
// catalogue of bad input.

import { ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SharedMemory } from '../../src/core/frontend/index.js';
import { VHOST_F_LOG_ALL, VHOST_VRING_F_LOG } from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BLK_IN, BlkDriver, type TestFrontend } from '../../src/testing/index.js';
import { until } from '../support/resources.js';
import { checkHealthy, ends, outcome, postWrites, type Scene, withDaemon } from './support.js';

const PAGE_BYTES = 4096;
const PAGES_PER_BYTE = 8;
/** A bit for each page up to the end of the front-end's memory, at 1 GiB + 4 MiB, and to spare. */
const LOG_BYTES = 64 << 10;

class Log {
  readonly area = new SharedMemory({ sizeBytes: LOG_BYTES });

  get description() {
    return { mmapSizeBytes: BigInt(LOG_BYTES), mmapOffsetBytes: 0n };
  }

  dirty(guestAddress: bigint): boolean {
    const page = Number(guestAddress) / PAGE_BYTES;
    const byte = this.area.bytes[Math.floor(page / PAGES_PER_BYTE)] as number;
    return ((byte >> (Math.floor(page) % PAGES_PER_BYTE)) & 1) === 1;
  }

  get empty(): boolean {
    return this.area.bytes.every((byte) => byte === 0);
  }

  clear(): void {
    this.area.bytes.fill(0);
  }
}

async function logData({ frontend, features }: TestFrontend, on: boolean): Promise<void> {
  await frontend.setFeatures(on ? features | VHOST_F_LOG_ALL : features);
}

/** SET_VRING_ADDR again, with the log flag or without, as QEMU sends it. */
async function logUsed({ frontend, memory, queues }: TestFrontend, on: boolean): Promise<void> {
  for (const { index, ring } of queues) {
    await frontend.setVringAddr({
      index,
      flags: on ? VHOST_VRING_F_LOG : 0,
      descriptorAddress: memory.userAddress(ring.descriptorOffset),
      availableAddress: memory.userAddress(ring.availOffset),
      usedAddress: memory.userAddress(ring.usedOffset),
      logAddress: memory.guestAddress(ring.usedOffset),
    });
  }
}

async function begin(scene: Scene): Promise<{ frontend: TestFrontend; log: Log }> {
  const frontend = await scene.start({ queues: 2 });
  const log = new Log();
  await frontend.frontend.setLogBase(log.description, log.area.fd);
  return { frontend, log };
}

/** Pages that are not what they were, whoever wrote to them. */
function changedPages(before: Uint8Array, now: Uint8Array): number[] {
  const changed: number[] = [];
  for (let at = 0; at < now.byteLength; at += PAGE_BYTES) {
    if (Buffer.compare(before.subarray(at, at + PAGE_BYTES), now.subarray(at, at + PAGE_BYTES))) {
      changed.push(at);
    }
  }
  return changed;
}

/** One read on each queue, made available only after the snapshot: what the driver itself writes in
 *  between are the avail ring and its used_event, in the pages of a ring. */
async function readsCovered(t: Test, frontend: TestFrontend, log: Log): Promise<void> {
  const { memory } = frontend;
  const driver = new BlkDriver(frontend);
  const pattern = new Uint8Array(64 << 10).map((_, i) => i % 251);
  await driver.write(0, pattern);
  log.clear();
  const before = memory.bytes.slice();
  for (const queue of [0, 1]) {
    for (const [inBytes, pieceBytes] of [
      [512, 512],
      [64 << 10, 5000],
      [20 << 10, 1024],
    ] as const) {
      const request = { type: BLK_IN, sector: 0, inBytes, pieceBytes, queue };
      const { status, data } = await driver.request(request);
      t.equal(status, 0);
      t.equal(Buffer.compare(data, pattern.subarray(0, inBytes)), 0);
    }
  }
  const missed = changedPages(before, memory.bytes)
    .map((at) => memory.guestAddress(at))
    .filter((address) => !log.dirty(address))
    .filter((address) => !driverWrites(frontend, address));
  t.same(missed, [], 'every page the device wrote to is marked');
  for (const { ring, index } of frontend.queues) {
    t.ok(log.dirty(memory.guestAddress(ring.usedOffset)), `used ring ${index}`);
  }
}

/** Pages of the rings' driver halves, and of headers: a request's page before its data. */
function driverWrites({ memory, queues }: TestFrontend, address: bigint): boolean {
  const page = Number(address - memory.guestBase);
  const first = Math.min(...queues.map(({ ring }) => ring.descriptorOffset));
  const last = memory.mark();
  return page + PAGE_BYTES > first && page <= last;
}

t.test('every page written is marked (CS-134)', async (t) => {
  await withDaemon(t, ['--num-queues', '2', '--workers', '2'], async (scene) => {
    const { frontend, log } = await begin(scene);
    await logData(frontend, true);
    await logUsed(frontend, true);
    await readsCovered(t, frontend, log);
    frontend.close();
    await checkHealthy(t, scene, 'the log is gone with its session');
  });
});

t.test('on, off and moved while the disk works', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    const { frontend, log } = await begin(scene);
    const driver = new BlkDriver(frontend);
    await driver.read(0, 8192);
    t.ok(log.empty, 'an area alone logs nothing');
    let working = true;
    const work = (async () => {
      while (working) {
        await driver.request({ type: BLK_IN, sector: 0, inBytes: 4096, queue: 1 });
      }
    })();
    for (let i = 0; i < 5; i++) {
      const next = new Log();
      await frontend.frontend.setLogBase(next.description, next.area.fd);
      await logData(frontend, true);
      await logUsed(frontend, true);
      await driver.read(0, 8192);
      t.notOk(next.empty, 'on');
      await logData(frontend, false);
      await logUsed(frontend, false);
      next.clear();
      await driver.read(0, 8192);
      t.ok(next.empty, 'off, from the answer on');
      t.ok(log.empty, 'and the former area is left alone');
    }
    working = false;
    await work;
    frontend.close();
    await checkHealthy(t, scene, 'afterwards');
  });
});

t.test('the log descriptor is signalled', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const log = new Log();
    const fd = native.eventfdCreate(0);
    await frontend.frontend.setLogFd(fd);
    await frontend.frontend.setLogBase(log.description, log.area.fd);
    const driver = new BlkDriver(frontend);
    await driver.read(0, 512);
    t.equal(native.eventfdRead(fd) > 0, false, 'nothing is logged yet');
    await logData(frontend, true);
    await driver.read(0, 512);
    // The driver may see its request done a moment before.
    await until('marked and told', () => native.eventfdRead(fd) > 0);
    native.fdClose(fd);
    frontend.close();
    await checkHealthy(t, scene, 'with a log descriptor');
  });
});

t.test('hostile areas (CS-130 to CS-133, CS-035)', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const memfd = (bytes: number) => native.memfdCreate('log', bytes);
    const good = memfd(LOG_BYTES);
    const rows: readonly (readonly [string, bigint, bigint, number])[] = [
      ['size 0', 0n, 0n, good],
      ['sum wraps', 2n ** 64n - 4096n, 8192n, good],
      ['offset off a page', 4096n, 1n, good],
      ['longer than its file', BigInt(LOG_BYTES) + 1n, 0n, good],
      ['2^64 - 1', 2n ** 64n - 1n, 0n, good],
      ['too small for the memory', 4096n, 0n, good],
      ['an empty file', BigInt(LOG_BYTES), 0n, memfd(0)],
      ['an eventfd', BigInt(LOG_BYTES), 0n, native.eventfdCreate(0)],
      ['a directory', BigInt(LOG_BYTES), 0n, openSync('/', 'r')],
      ['read-only', BigInt(LOG_BYTES), 0n, openSync(scene.image, 'r')],
    ];
    for (const [what, mmapSizeBytes, mmapOffsetBytes, fd] of rows) {
      const call = frontend.frontend.setLogBase({ mmapSizeBytes, mmapOffsetBytes }, fd);
      t.equal(await outcome(call), 'NACK', what);
    }
    t.equal(await outcome(frontend.frontend.setLogFd(good)), 'NACK', 'CS-132: no eventfd');
    await logData(frontend, true);
    await new BlkDriver(frontend).read(0, 4096);
    t.pass('CS-133: VHOST_F_LOG_ALL without an area');
    for (const [, , , fd] of rows.slice(6)) {
      native.fdClose(fd);
    }
    native.fdClose(good);
    frontend.close();
    await checkHealthy(t, scene, 'hostile areas');
  });
});

t.test('a log that is cut short ends the session, not the daemon (CS-077)', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const path = join(scene.directory, 'log');
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, LOG_BYTES);
    const area = { mmapSizeBytes: BigInt(LOG_BYTES), mmapOffsetBytes: 0n };
    await frontend.frontend.setLogBase(area, fd);
    await logData(frontend, true);
    ftruncateSync(fd, 0);
    postWrites(frontend, 1);
    t.ok(await ends(frontend.frontend), 'the session ends');
    native.fdClose(fd);
    frontend.close();
    await checkHealthy(t, scene, 'a lost log');
  });
});
