// The control half of --pcap: takes what workers show out of their rings and appends it to a file.
// Nobody waits for it but the file: a ring that fills up loses frames and counts them.

import { close, openSync, write } from 'node:fs';
import { FRAME_BYTES_MAX } from '../format.js';
import { HostEndError } from '../host-end-error.js';
import { CaptureRing } from './capture-ring.js';
import { encodeFrame, encodeHeader, encodeStatistics, frameBlockBytes } from './pcapng.js';
import { interfaceOf, isInbound, type SharedCapture } from './shared-capture.js';

/** 10 Gbit/s fill less than the half of a ring of 8 MiB meanwhile. */
const DRAIN_INTERVAL_MS = 2;
/** A card that is quiet is looked at less often. */
const IDLE_INTERVAL_MS = 20;
const RING_BYTES = 8 << 20;
/** What one system call writes; the longest frame fits in. */
const BUFFER_BYTES = 1 << 20;

/** A capture says what guests sent: not for everybody. */
const FILE_MODE = 0o600;

export interface CaptureFileOptions {
  readonly path: string;
  readonly limitBytes: number;
  readonly interfaces: readonly string[];
  /** Workers that may show frames. */
  readonly rings: number;
  /** The file is full, or can't be written. */
  readonly notice: (message: string) => void;
}

export class CaptureFile {
  readonly shared: SharedCapture;
  readonly #options: CaptureFileOptions;
  readonly #fd: number;
  readonly #rings: readonly CaptureRing[];
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #bytes = 0;
  /** No more frames. */
  #ended = false;
  #closing = false;
  readonly #done: Promise<void>;

  /** Throws HostEndError. */
  constructor(options: CaptureFileOptions) {
    this.#options = options;
    this.#fd = openFile(options.path);
    const memories = Array.from({ length: options.rings }, () => CaptureRing.create(RING_BYTES));
    this.shared = { rings: memories, claims: new SharedArrayBuffer(4) };
    this.#rings = memories.map((memory) => new CaptureRing(memory));
    this.#done = this.#run();
  }

  /** Writes what was shown up to now, and ends. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    try {
      await this.#append(encodeHeader(this.#options.interfaces));
      while (!this.#closing && !this.#ended) {
        const any = await this.#drain();
        await pause(any ? DRAIN_INTERVAL_MS : IDLE_INTERVAL_MS);
      }
      await this.#drain();
      await this.#append(encodeStatistics(this.#lost, Date.now()));
    } catch (error) {
      this.#options.notice(`the capture ends: ${(error as Error).message}`);
    }
    for (const ring of this.#rings) {
      ring.close();
    }
    await new Promise((resolve) => close(this.#fd, resolve));
  }

  get #lost(): number {
    return this.#rings.reduce((sum, ring) => sum + ring.lost, 0);
  }

  /** True when there was anything. */
  async #drain(): Promise<boolean> {
    let any = false;
    for (const ring of this.#rings) {
      for (let filled = this.#fill(ring); filled > 0; filled = this.#fill(ring)) {
        any = true;
        await this.#append(this.#buffer.subarray(0, filled));
      }
    }
    return any;
  }

  /** Moves frames of a ring into the buffer; the bytes it holds then. */
  #fill(ring: CaptureRing): number {
    let at = 0;
    while (!this.#ended && at + frameBlockBytes(FRAME_BYTES_MAX) <= BUFFER_BYTES) {
      const shown = ring.next();
      if (shown === undefined) {
        break;
      }
      if (this.#bytes + at + frameBlockBytes(shown.bytes.byteLength) > this.#options.limitBytes) {
        this.#ended = true;
        this.#options.notice('the capture has reached its limit');
        break;
      }
      const { tag, bytes, stampLow, stampHigh } = shown;
      const place = { interface: interfaceOf(tag), inbound: isInbound(tag) };
      at = encodeFrame(this.#buffer, at, { ...place, bytes, stampLow, stampHigh });
    }
    ring.release();
    return at;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.byteLength; ) {
      from += await writeSome(this.#fd, bytes.subarray(from));
    }
    this.#bytes += bytes.byteLength;
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'w', FILE_MODE);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const reason = code === 'EACCES' || code === 'EPERM' ? 'permission' : 'unusable';
    throw new HostEndError(reason, `${path} can't be written (${code})`);
  }
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** Bytes written, as many as the file takes at once. */
function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) =>
    write(fd, bytes, (error, written) => (error === null ? resolve(written) : reject(error))),
  );
}
