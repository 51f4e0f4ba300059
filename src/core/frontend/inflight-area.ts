// The shared area in which a back-end records requests it has taken, so that its successor can
// finish them. The front-end keeps it: the descriptor outlives any back-end, and save() any host.

import { check, native } from '../../native/index.js';
import type { Inflight } from '../protocol/index.js';
import { VhostError } from './vhost-error.js';
import { INFLIGHT_BYTES } from './vhost-user-migration.js';

/** Saved form: u64 size, u16 queue size, both big-endian as in QEMU's stream, then the bytes. */
const SAVED_SIZE_BYTES = 8;
const SAVED_HEAD_BYTES = 10;
/** QEMU's largest: 1024 queues of 1024 entries of 32 bytes; keeps a bad stream from allocating. */
const AREA_BYTES_MAX = 64 << 20;

export class InflightArea {
  readonly layout: Inflight;
  readonly fd: number;
  readonly #bytes: Uint8Array;
  #free = false;

  /** Takes ownership of the descriptor. Throws INVALID_INFLIGHT_AREA, SystemError. */
  constructor(layout: Inflight, fd: number) {
    this.layout = layout;
    this.fd = fd;
    const { mmapSizeBytes, mmapOffsetBytes } = layout;
    if (mmapSizeBytes <= 0n || mmapSizeBytes > AREA_BYTES_MAX) {
      native.fdClose(fd);
      throw new VhostError('INVALID_INFLIGHT_AREA', `${mmapSizeBytes} bytes`);
    }
    const mapped = native.mapShared(fd, Number(mmapOffsetBytes), Number(mmapSizeBytes));
    if (typeof mapped === 'number') {
      native.fdClose(fd);
      check('mmap', mapped);
      throw new Error('unreachable');
    }
    this.#bytes = new Uint8Array(mapped);
  }

  /** Nothing is in flight any more: for a device that was reset. */
  reset(): void {
    this.#bytes.fill(0);
  }

  /** Lets go of the area. */
  free(): void {
    if (!this.#free) {
      this.#free = true;
      native.fdClose(this.fd);
    }
  }

  /** The area as bytes, to be sent to another host; eight zero bytes when there is none. */
  static save(area: InflightArea | undefined): Uint8Array {
    if (area === undefined) {
      return new Uint8Array(SAVED_SIZE_BYTES);
    }
    const content = area.#bytes;
    const saved = new Uint8Array(SAVED_HEAD_BYTES + content.byteLength);
    const view = new DataView(saved.buffer);
    view.setBigUint64(0, BigInt(content.byteLength));
    view.setUint16(SAVED_SIZE_BYTES, area.layout.queueSize);
    saved.set(content, SAVED_HEAD_BYTES);
    return saved;
  }

  /** What save() wrote, in a file of this host; undefined when there was no area. The stream does
   *  not say how many queues it has. Throws INVALID_INFLIGHT_AREA, SystemError. */
  static load(saved: Uint8Array, queueCount: number): InflightArea | undefined {
    if (saved.byteLength < SAVED_SIZE_BYTES) {
      throw new VhostError('INVALID_INFLIGHT_AREA', `${saved.byteLength} bytes`);
    }
    const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
    const mmapSizeBytes = view.getBigUint64(0);
    if (mmapSizeBytes === 0n) {
      return undefined;
    }
    if (BigInt(saved.byteLength) !== BigInt(SAVED_HEAD_BYTES) + mmapSizeBytes) {
      throw new VhostError(
        'INVALID_INFLIGHT_AREA',
        `${saved.byteLength} bytes for an area of ${mmapSizeBytes}`,
      );
    }
    const queueSize = view.getUint16(SAVED_SIZE_BYTES);
    const fd = check(
      'memfd_create',
      native.memfdCreate('vhost-ts-inflight', saved.byteLength - SAVED_HEAD_BYTES),
    );
    const area = new InflightArea(
      { mmapSizeBytes, mmapOffsetBytes: 0n, queueCount, queueSize, encodedBytes: INFLIGHT_BYTES },
      fd,
    );
    area.#bytes.set(saved.subarray(SAVED_HEAD_BYTES));
    return area;
  }
}
