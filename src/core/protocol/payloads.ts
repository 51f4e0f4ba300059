// Every payload a vhost-user message can have, by the name the request table uses.

import {
  configCodec,
  cryptoSessionCodec,
  deviceStateCodec,
  sharedObjectCodec,
  shmemConfigCodec,
  shmemMapCodec,
} from './device-payloads.js';
import {
  inflightCodec,
  iotlbCodec,
  logBaseCodec,
  memTableCodec,
  singleRegionCodec,
} from './memory-payloads.js';
import { type DecodedBy, type PayloadCodec, payloadView, u64, viewOf } from './struct.js';
import { vringAddrCodec, vringAreaCodec, vringFdCodec, vringStateCodec } from './vring-payloads.js';

const NONE_LENGTHS = { oneOf: [0] };

const noneCodec: PayloadCodec<undefined> = {
  lengths: NONE_LENGTHS,
  decode(bytes) {
    payloadView(bytes, NONE_LENGTHS);
    return undefined;
  },
  encode: () => new Uint8Array(0),
};

const U64_LENGTHS = { oneOf: [8] };

const u64Codec: PayloadCodec<bigint> = {
  lengths: U64_LENGTHS,
  decode: (bytes) => payloadView(bytes, U64_LENGTHS).getBigUint64(0, true),
  encode(value) {
    const bytes = new Uint8Array(8);
    u64(0).set(viewOf(bytes), 0, value);
    return bytes;
  },
};

export const PAYLOADS = {
  none: noneCodec,
  u64: u64Codec,
  vringState: vringStateCodec,
  vringAddr: vringAddrCodec,
  vringFd: vringFdCodec,
  vringArea: vringAreaCodec,
  memTable: memTableCodec,
  singleRegion: singleRegionCodec,
  logBase: logBaseCodec,
  iotlb: iotlbCodec,
  inflight: inflightCodec,
  config: configCodec,
  sharedObject: sharedObjectCodec,
  deviceState: deviceStateCodec,
  shmemMap: shmemMapCodec,
  shmemConfig: shmemConfigCodec,
  cryptoSession: cryptoSessionCodec,
} as const;

export type PayloadKind = keyof typeof PAYLOADS;
export type PayloadByKind = { readonly [K in PayloadKind]: DecodedBy<(typeof PAYLOADS)[K]> };

/** The codec of `kind`, typed by it; one cast here instead of one at every use. */
export function payloadCodec<K extends PayloadKind>(kind: K): PayloadCodec<PayloadByKind[K]> {
  return PAYLOADS[kind] as unknown as PayloadCodec<PayloadByKind[K]>;
}
