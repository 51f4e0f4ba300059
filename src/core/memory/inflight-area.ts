// The inflight area on the control thread, owned by number like guest memory: what is in it,
// workers write and read natively.

import { check, type InflightId, native } from '../../native/index.js';

export interface InflightDescription {
  readonly mmapSizeBytes: bigint;
  readonly mmapOffsetBytes: bigint;
  readonly queueCount: number;
  readonly queueSize: number;
}

export interface InflightFile {
  /** The caller's to send and to close. */
  readonly fd: number;
  readonly sizeBytes: number;
}

export class InflightArea {
  readonly id: InflightId;

  private constructor(id: InflightId) {
    this.id = id;
  }

  /** A fresh area as a sealed file. Throws SystemError. */
  static create(packed: boolean, queueCount: number, queueSize: number): InflightFile {
    const fd = check('inflight area', native.inflightCreate(packed, queueCount, queueSize));
    return { fd, sizeBytes: native.inflightBytes(packed, queueCount, queueSize) };
  }

  /** What a front-end kept; the fd stays the caller's. Throws SystemError: EINVAL (counts, offset,
   *  or too small for them), EBADF (no regular file), EACCES (not read-write), EOVERFLOW (file too
   *  short), ENOSPC, or what mmap said. */
  static map(fd: number, description: InflightDescription): InflightArea {
    const { mmapSizeBytes, mmapOffsetBytes, queueCount, queueSize } = description;
    const id = native.inflightMap(fd, mmapSizeBytes, mmapOffsetBytes, queueCount, queueSize);
    return new InflightArea(check('map inflight area', id));
  }

  /** Gives up this owner; a worker that records in the area keeps it until its ring stops. */
  release(): void {
    native.inflightRelease(this.id);
  }
}
