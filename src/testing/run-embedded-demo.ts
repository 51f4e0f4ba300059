// The main job without QEMU: our own front-end is the guest. Formats nothing, but writes, checks,
// flushes, discards, reads the serial, leaves, comes back and checks again.

import { createHash } from 'node:crypto';
import { BLK_DISCARD, BLK_WRITE_ZEROES, BlkDriver, STATUS_OK, segmentList } from './blk-driver.js';
import { TestFrontend } from './test-frontend.js';

const CHUNK_BYTES = 128 << 10;
const CHUNKS = 64;
const CHUNK_SECTORS = CHUNK_BYTES / 512;

/** The content of a chunk: reproducible, different everywhere. */
function chunk(index: number): Uint8Array {
  const bytes = new Uint8Array(CHUNK_BYTES);
  const seed = createHash('sha256').update(`chunk ${index}`).digest();
  for (let at = 0; at < CHUNK_BYTES; at += seed.length) {
    bytes.set(seed, at);
    new DataView(bytes.buffer).setUint32(at, at ^ index, true);
  }
  return bytes;
}

async function verify(driver: BlkDriver, chunks: readonly number[]): Promise<boolean> {
  for (const index of chunks) {
    const read = await driver.read(index * CHUNK_SECTORS, CHUNK_BYTES);
    if (Buffer.compare(read, chunk(index)) !== 0) {
      return false;
    }
  }
  return true;
}

const ALL = Array.from({ length: CHUNKS }, (_, index) => index);
/** The chunk that is discarded and zeroed. */
const ZEROED = CHUNKS - 1;
const KEPT = ALL.filter((index) => index !== ZEROED);

/** Plays the guest against a running `vhost-ts blk`; true when everything was as it must be. */
export async function runEmbeddedDemo(
  print: (line: string) => void,
  { socket }: { readonly socket: string; readonly image: string },
): Promise<boolean> {
  const first = await TestFrontend.start({ socket });
  const driver = new BlkDriver(first);
  print(`serial number: ${await driver.serial()}`);
  for (const index of ALL) {
    await driver.write(index * CHUNK_SECTORS, chunk(index));
  }
  await driver.flush();
  print(`wrote and flushed ${(CHUNKS * CHUNK_BYTES) >> 20} MiB`);
  const intact = await verify(driver, ALL);
  print(`read back: ${intact ? 'as written' : 'DIFFERENT'}`);
  const range = { sector: ZEROED * CHUNK_SECTORS, sectors: CHUNK_SECTORS, flags: 0 };
  const discarded = await driver.request({ type: BLK_DISCARD, out: segmentList([range]) });
  const zeroed = await driver.request({ type: BLK_WRITE_ZEROES, out: segmentList([range]) });
  const zeros = await driver.read(range.sector, CHUNK_BYTES);
  const empty = zeros.every((byte) => byte === 0);
  print(`discarded and zeroed one range: ${empty ? 'reads as zeroes' : 'NOT zero'}`);
  await first.stopQueues();
  first.close();
  const second = await TestFrontend.start({ socket });
  const survived = await verify(new BlkDriver(second), KEPT);
  print(`connected again: ${survived ? 'everything is still there' : 'DATA LOST'}`);
  await second.stopQueues();
  second.close();
  const statuses = discarded.status === STATUS_OK && zeroed.status === STATUS_OK;
  return intact && statuses && empty && survived;
}
