import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';

/** Must match `kPatternTag` of the load generator. */
const PATTERN_TAG = 0x76747362;
const BLOCK_BYTES = 4096;
const CHUNK_BYTES = 1 << 20;
/** linux/magic.h: O_DIRECT and writeback mean nothing on memory. */
const TMPFS_MAGIC = 0x01021994;

export const IMAGE_BYTES = 1 << 30;

export function prepareDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  if (statfsSync(path).type === TMPFS_MAGIC) {
    throw new Error(`${path} is on tmpfs: choose a directory on a disk with --directory`);
  }
}

function stampChunk(chunk: Buffer, firstBlock: number): void {
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    for (const end of [at, at + BLOCK_BYTES - 8]) {
      chunk.writeUInt32LE(firstBlock + at / BLOCK_BYTES, end);
      chunk.writeUInt32LE(PATTERN_TAG, end + 4);
    }
  }
}

function chunkIsIntact(chunk: Buffer, firstBlock: number): boolean {
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    for (const end of [at, at + BLOCK_BYTES - 8]) {
      if (chunk.readUInt32LE(end) !== firstBlock + at / BLOCK_BYTES) return false;
      if (chunk.readUInt32LE(end + 4) !== PATTERN_TAG) return false;
    }
  }
  return true;
}

function writeImage(path: string): void {
  const fd = openSync(path, 'w');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < IMAGE_BYTES; at += CHUNK_BYTES) {
    stampChunk(chunk, at / BLOCK_BYTES);
    writeSync(fd, chunk, 0, CHUNK_BYTES, at);
  }
  fsyncSync(fd);
  closeSync(fd);
}

/** Reads the whole image, which also leaves it in the page cache. */
export function imageIsIntact(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.size !== IMAGE_BYTES) return false;
  const fd = openSync(path, 'r');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let intact = true;
  for (let at = 0; intact && at < IMAGE_BYTES; at += CHUNK_BYTES) {
    intact = readSync(fd, chunk, 0, CHUNK_BYTES, at) === CHUNK_BYTES;
    intact &&= chunkIsIntact(chunk, at / BLOCK_BYTES);
  }
  closeSync(fd);
  return intact;
}

/** True when the image had to be written: it is new, or something damaged the old one. */
export function prepareImage(path: string): boolean {
  if (imageIsIntact(path)) return false;
  writeImage(path);
  return true;
}

export function flushImage(path: string): void {
  const fd = openSync(path, 'r+');
  fdatasyncSync(fd);
  closeSync(fd);
}

/** GNU dd with iflag=nocache and no data asks the kernel to forget the file's cached pages. */
export function dropFromPageCache(path: string): void {
  flushImage(path);
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}
