// Payloads that describe shared memory: guest memory, dirty log, IOTLB entries, inflight area.

import { VhostUserError } from './errors.js';
import {
  type DecodedBy,
  type PayloadCodec,
  payloadSizeError,
  payloadView,
  type StructOf,
  struct,
  structCodec,
  u8,
  u16,
  u64,
  viewOf,
} from './struct.js';

/** Regions of one SET_MEM_TABLE, bound by the fds a message may carry in every implementation. */
export const MEM_TABLE_REGIONS_MAX = 8;

// The 40-byte form of VHOST_USER_PROTOCOL_F_XEN_MMAP is never offered, hence never accepted.
const REGION = struct(32, {
  guestAddress: u64(0),
  sizeBytes: u64(8),
  userAddress: u64(16),
  mmapOffsetBytes: u64(24),
});
export type MemoryRegion = StructOf<typeof REGION.fields>;

export interface MemTable {
  readonly regions: readonly MemoryRegion[];
}

const TABLE_HEAD_BYTES = 8;
const tableBytes = (regions: number): number => TABLE_HEAD_BYTES + regions * REGION.lengthBytes;
const TABLE_LENGTHS = {
  oneOf: Array.from({ length: MEM_TABLE_REGIONS_MAX + 1 }, (_, regions) => tableBytes(regions)),
};

/** A table of no regions decodes: QEMU acknowledges a postcopy reply with one. */
export const memTableCodec: PayloadCodec<MemTable> = {
  lengths: TABLE_LENGTHS,
  decode(bytes) {
    const view = payloadView(bytes, TABLE_LENGTHS);
    const count = view.getUint32(0, true);
    // Bound the count before it is multiplied (CS-070).
    if (count > MEM_TABLE_REGIONS_MAX) {
      throw new VhostUserError('PAYLOAD_VALUE', `${count} memory regions`);
    }
    // User-mode Linux always sends room for two and says how many it used: more is legal, less not.
    if (bytes.byteLength < tableBytes(count)) {
      throw payloadSizeError(bytes.byteLength, `${tableBytes(count)} for ${count} regions`);
    }
    const regions = Array.from({ length: count }, (_, i) => REGION.read(view, tableBytes(i)));
    return { regions };
  },
  encode({ regions }) {
    if (regions.length > MEM_TABLE_REGIONS_MAX) {
      throw new RangeError(`${regions.length} regions do not fit a memory table`);
    }
    const bytes = new Uint8Array(tableBytes(regions.length));
    const view = viewOf(bytes);
    view.setUint32(0, regions.length, true);
    regions.forEach((region, i) => {
      REGION.write(view, tableBytes(i), region);
    });
    return bytes;
  },
};

const SINGLE_REGION_LENGTHS = { oneOf: [tableBytes(1)] };

/** One region behind eight bytes of padding whose content means nothing. */
export const singleRegionCodec: PayloadCodec<MemoryRegion> = {
  lengths: SINGLE_REGION_LENGTHS,
  decode: (bytes) => REGION.read(payloadView(bytes, SINGLE_REGION_LENGTHS), TABLE_HEAD_BYTES),
  encode(region) {
    const bytes = new Uint8Array(tableBytes(1));
    REGION.write(viewOf(bytes), TABLE_HEAD_BYTES, region);
    return bytes;
  },
};

const LOG = struct(16, { mmapSizeBytes: u64(0), mmapOffsetBytes: u64(8) });
export const logCodec = structCodec(LOG);
export type LogArea = DecodedBy<typeof logCodec>;

/** SET_LOG_BASE has two forms; QEMU sends the area form even when LOG_SHMFD was not negotiated. */
export type LogBase =
  | ({ readonly form: 'area' } & LogArea)
  | { readonly form: 'address'; readonly address: bigint };

const LOG_BASE_LENGTHS = { oneOf: [8, LOG.lengthBytes] };

export const logBaseCodec: PayloadCodec<LogBase> = {
  lengths: LOG_BASE_LENGTHS,
  decode(bytes) {
    const view = payloadView(bytes, LOG_BASE_LENGTHS);
    return bytes.byteLength === 8
      ? { form: 'address', address: view.getBigUint64(0, true) }
      : { form: 'area', ...LOG.read(view, 0) };
  },
  encode(value) {
    if (value.form === 'area') {
      return logCodec.encode(value);
    }
    const bytes = new Uint8Array(8);
    u64(0).set(viewOf(bytes), 0, value.address);
    return bytes;
  },
};

export const IOTLB_TYPE_MISS = 1;
export const IOTLB_TYPE_UPDATE = 2;
export const IOTLB_TYPE_INVALIDATE = 3;
export const IOTLB_TYPE_ACCESS_FAIL = 4;

export const IOTLB_PERM_NONE = 0;
export const IOTLB_PERM_READ = 1;
export const IOTLB_PERM_WRITE = 2;
export const IOTLB_PERM_READ_WRITE = 3;

/** `struct vhost_iotlb_msg`: the last six bytes are C padding and may hold anything. */
export const iotlbCodec = structCodec(
  struct(32, { iova: u64(0), sizeBytes: u64(8), userAddress: u64(16), perm: u8(24), type: u8(25) }),
  ({ perm, type }) => {
    if (type < IOTLB_TYPE_MISS || type > IOTLB_TYPE_ACCESS_FAIL || perm > IOTLB_PERM_READ_WRITE) {
      throw new VhostUserError('PAYLOAD_VALUE', `IOTLB type ${type}, permission ${perm}`);
    }
  },
);
export type IotlbMessage = DecodedBy<typeof iotlbCodec>;

const INFLIGHT_PACKED_BYTES = 20;
/** Peers whose C compiler rounds the struct up to its alignment send this length. */
const INFLIGHT_PADDED_BYTES = 24;

const INFLIGHT = struct(INFLIGHT_PACKED_BYTES, {
  mmapSizeBytes: u64(0),
  mmapOffsetBytes: u64(8),
  queueCount: u16(16),
  queueSize: u16(18),
});

export interface Inflight extends StructOf<typeof INFLIGHT.fields> {
  /** A reply must have the length of its request: QEMU (24) and rust-vmm (20) check their own. */
  readonly encodedBytes: typeof INFLIGHT_PACKED_BYTES | typeof INFLIGHT_PADDED_BYTES;
}

const INFLIGHT_LENGTHS = { oneOf: [INFLIGHT_PACKED_BYTES, INFLIGHT_PADDED_BYTES] };

export const inflightCodec: PayloadCodec<Inflight> = {
  lengths: INFLIGHT_LENGTHS,
  decode(bytes) {
    const area = INFLIGHT.read(payloadView(bytes, INFLIGHT_LENGTHS), 0);
    const isPacked = bytes.byteLength === INFLIGHT_PACKED_BYTES;
    return { ...area, encodedBytes: isPacked ? INFLIGHT_PACKED_BYTES : INFLIGHT_PADDED_BYTES };
  },
  encode(value) {
    const bytes = new Uint8Array(value.encodedBytes);
    INFLIGHT.write(viewOf(bytes), 0, value);
    return bytes;
  },
};
