// Payloads about the device as a whole: config space, migration state, shared objects, SHMEM
// regions.

import { VhostUserError } from './errors.js';
import { PAYLOAD_BYTES_MAX } from './header.js';
import {
  type DecodedBy,
  opaqueCodec,
  type PayloadCodec,
  payloadSizeError,
  payloadView,
  struct,
  structCodec,
  u8,
  u32,
  u64,
  viewOf,
} from './struct.js';

/** vhost-user: SET_CONFIG flags. rust-vmm front-ends send 1 for a write by the driver. */
export const CONFIG_FLAGS_DRIVER_WRITE = 0;
export const CONFIG_FLAGS_LIVE_MIGRATION = 1;

/** A range of the config space. In a GET_CONFIG request the bytes only say how many are wanted. */
export interface ConfigRange {
  readonly offset: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

const CONFIG_HEAD = struct(12, { offset: u32(0), size: u32(4), flags: u32(8) });
const CONFIG_LENGTHS = { minBytes: CONFIG_HEAD.lengthBytes, maxBytes: PAYLOAD_BYTES_MAX };

export const configCodec: PayloadCodec<ConfigRange> = {
  lengths: CONFIG_LENGTHS,
  decode(payload) {
    const { offset, size, flags } = CONFIG_HEAD.read(payloadView(payload, CONFIG_LENGTHS), 0);
    if (payload.byteLength - CONFIG_HEAD.lengthBytes !== size) {
      throw payloadSizeError(payload.byteLength, `${CONFIG_HEAD.lengthBytes} + ${size}`);
    }
    return { offset, flags, bytes: payload.slice(CONFIG_HEAD.lengthBytes) };
  },
  encode({ offset, flags, bytes }) {
    const payload = new Uint8Array(CONFIG_HEAD.lengthBytes + bytes.byteLength);
    CONFIG_HEAD.write(viewOf(payload), 0, { offset, flags, size: bytes.byteLength });
    payload.set(bytes, CONFIG_HEAD.lengthBytes);
    return payload;
  },
};

/** A UUID in its usual text form; on the wire RFC 4122 byte order, which is the text's order. */
export interface SharedObject {
  readonly uuid: string;
}

const UUID_BYTES = 16;
const UUID_LENGTHS = { oneOf: [UUID_BYTES] };
const UUID_TEXT = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/;
const UUID_HEX = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;

export const sharedObjectCodec: PayloadCodec<SharedObject> = {
  lengths: UUID_LENGTHS,
  decode(bytes) {
    payloadView(bytes, UUID_LENGTHS);
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    // The nil and the max UUID name no object.
    if (/^(0+|f+)$/.test(hex)) {
      throw new VhostUserError('PAYLOAD_VALUE', `UUID ${hex}`);
    }
    return { uuid: hex.replace(UUID_HEX, '$1-$2-$3-$4-$5') };
  },
  encode({ uuid }) {
    const groups = UUID_TEXT.exec(uuid.toLowerCase())?.slice(1);
    if (groups === undefined) {
      throw new RangeError(`${uuid} is no UUID`);
    }
    const hex = groups.join('');
    return Uint8Array.from({ length: UUID_BYTES }, (_, i) =>
      Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
    );
  },
};

export const DEVICE_STATE_DIRECTION_SAVE = 0;
export const DEVICE_STATE_DIRECTION_LOAD = 1;
export const DEVICE_STATE_PHASE_STOPPED = 0;

export const deviceStateCodec = structCodec(
  struct(8, { direction: u32(0), phase: u32(4) }),
  ({ direction, phase }) => {
    if (direction > DEVICE_STATE_DIRECTION_LOAD || phase !== DEVICE_STATE_PHASE_STOPPED) {
      throw new VhostUserError('PAYLOAD_VALUE', `direction ${direction}, phase ${phase}`);
    }
  },
);
export type DeviceState = DecodedBy<typeof deviceStateCodec>;

/** vhost-user: SHMEM_MAP flags bit 0, the mapping is writable. */
export const SHMEM_MAP_FLAG_WRITABLE = 1n;

export const shmemMapCodec = structCodec(
  struct(40, {
    shmemId: u8(0),
    fdOffsetBytes: u64(8),
    shmemOffsetBytes: u64(16),
    lengthBytes: u64(24),
    flags: u64(32),
  }),
  ({ flags }) => {
    if ((flags & ~SHMEM_MAP_FLAG_WRITABLE) !== 0n) {
      throw new VhostUserError('PAYLOAD_VALUE', `mapping flags ${flags}`);
    }
  },
);
export type ShmemMap = DecodedBy<typeof shmemMapCodec>;

export interface ShmemRegion {
  readonly shmemId: number;
  readonly sizeBytes: bigint;
}

/** The regions in use, by rising id. */
export interface ShmemConfig {
  readonly regions: readonly ShmemRegion[];
}

/** A shared memory id is one byte in virtio, and the table has a place for each. */
const SHMEM_REGIONS_MAX = 256;
const SHMEM_HEAD_BYTES = 8;
const SHMEM_LENGTHS = { oneOf: [SHMEM_HEAD_BYTES + 8 * SHMEM_REGIONS_MAX] };

export const shmemConfigCodec: PayloadCodec<ShmemConfig> = {
  lengths: SHMEM_LENGTHS,
  decode(bytes) {
    const view = payloadView(bytes, SHMEM_LENGTHS);
    const regions: ShmemRegion[] = [];
    for (let shmemId = 0; shmemId < SHMEM_REGIONS_MAX; shmemId++) {
      const sizeBytes = view.getBigUint64(SHMEM_HEAD_BYTES + 8 * shmemId, true);
      if (sizeBytes !== 0n) {
        regions.push({ shmemId, sizeBytes });
      }
    }
    const count = view.getUint32(0, true);
    if (count !== regions.length) {
      throw new VhostUserError('PAYLOAD_VALUE', `${count} regions, ${regions.length} in use`);
    }
    return { regions };
  },
  encode({ regions }) {
    const bytes = new Uint8Array(SHMEM_HEAD_BYTES + 8 * SHMEM_REGIONS_MAX);
    const view = viewOf(bytes);
    const byId = new Map(regions.map((region) => [region.shmemId, region.sizeBytes]));
    if (byId.size !== regions.length || regions.some((region) => region.sizeBytes === 0n)) {
      throw new RangeError('shared memory regions need distinct ids and a size each');
    }
    u32(0).set(view, 0, regions.length);
    for (const [shmemId, sizeBytes] of byId) {
      u64(SHMEM_HEAD_BYTES).set(view, 8 * shmemId, sizeBytes);
    }
    return bytes;
  },
};

/**
 * No document lays this struct out, and QEMU and DPDK send their own in-memory one: the bytes go to
 * the crypto device as they came. They begin with a session id or an op code of eight bytes.
 */
export const cryptoSessionCodec = opaqueCodec(8);
