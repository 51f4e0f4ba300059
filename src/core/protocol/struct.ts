// A C struct as a table of fields: offsets are written down once, and type, decoder, encoder and
// documentation follow from them.

import { VhostUserError } from './errors.js';
import { PAYLOAD_BYTES_MAX } from './header.js';

/** Lengths a payload may have: one of a list, or anything within two bounds. */
export type LengthRule =
  | { readonly oneOf: readonly number[] }
  | { readonly minBytes: number; readonly maxBytes: number };

/** Both ways between payload bytes and an object. `decode` throws `VhostUserError`. */
export interface PayloadCodec<T> {
  readonly lengths: LengthRule;
  decode(bytes: Uint8Array): T;
  encode(value: T): Uint8Array;
}

export type DecodedBy<C> = C extends PayloadCodec<infer T> ? T : never;

export interface Field<T extends number | bigint> {
  readonly type: 'u8' | 'u16' | 'u32' | 'u64';
  readonly offset: number;
  get(view: DataView, baseBytes: number): T;
  set(view: DataView, baseBytes: number, value: T): void;
}

type Fields = Readonly<Record<string, Field<number> | Field<bigint>>>;

export type StructOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<bigint> ? bigint : number;
};

export function u8(offset: number): Field<number> {
  return {
    type: 'u8',
    offset,
    get: (view, base) => view.getUint8(base + offset),
    set: (view, base, value) => view.setUint8(base + offset, checkUint(value, 0xff)),
  };
}

export function u16(offset: number): Field<number> {
  return {
    type: 'u16',
    offset,
    get: (view, base) => view.getUint16(base + offset, true),
    set: (view, base, value) => view.setUint16(base + offset, checkUint(value, 0xffff), true),
  };
}

export function u32(offset: number): Field<number> {
  return {
    type: 'u32',
    offset,
    get: (view, base) => view.getUint32(base + offset, true),
    set: (view, base, value) => view.setUint32(base + offset, checkUint(value, 0xffff_ffff), true),
  };
}

export function u64(offset: number): Field<bigint> {
  return {
    type: 'u64',
    offset,
    get: (view, base) => view.getBigUint64(base + offset, true),
    set: (view, base, value) => view.setBigUint64(base + offset, checkUint64(value), true),
  };
}

/** DataView would wrap a value that does not fit, and the peer would read another number. */
function checkUint(value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${value} is no unsigned integer up to ${max}`);
  }
  return value;
}

function checkUint64(value: bigint): bigint {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`${value} does not fit 64 bits`);
  }
  return value;
}

/** One struct inside a payload; the caller has checked that its bytes are there. */
export interface Struct<F extends Fields> {
  readonly lengthBytes: number;
  readonly fields: F;
  read(view: DataView, baseBytes: number): StructOf<F>;
  write(view: DataView, baseBytes: number, value: StructOf<F>): void;
}

export function struct<const F extends Fields>(lengthBytes: number, fields: F): Struct<F> {
  const entries = Object.entries<Field<number> | Field<bigint>>(fields);
  return {
    lengthBytes,
    fields,
    read(view, base) {
      const pairs = entries.map(([name, field]) => [name, field.get(view, base)] as const);
      return Object.fromEntries(pairs) as StructOf<F>;
    },
    write(view, base, value) {
      for (const [name, field] of entries) {
        // Names come from `fields` itself, so value and field agree in kind by StructOf.
        (field as Field<number | bigint>).set(view, base, value[name] as number | bigint);
      }
    },
  };
}

/** A payload that is one fixed struct; `check` refuses values the protocol leaves undefined. */
export function structCodec<const F extends Fields>(
  layout: Struct<F>,
  check?: (value: StructOf<F>) => void,
): PayloadCodec<StructOf<F>> {
  const lengths = { oneOf: [layout.lengthBytes] };
  return {
    lengths,
    decode(bytes) {
      const value = layout.read(payloadView(bytes, lengths), 0);
      check?.(value);
      return value;
    },
    encode(value) {
      const bytes = new Uint8Array(layout.lengthBytes);
      layout.write(viewOf(bytes), 0, value);
      return bytes;
    },
  };
}

export function isLegalLength(rule: LengthRule, lengthBytes: number): boolean {
  return 'oneOf' in rule
    ? rule.oneOf.includes(lengthBytes)
    : lengthBytes >= rule.minBytes && lengthBytes <= rule.maxBytes;
}

/** View of a received payload whose length the rule allows; CS-008, CS-009, CS-010 end here. */
export function payloadView(bytes: Uint8Array, rule: LengthRule): DataView {
  if (!isLegalLength(rule, bytes.byteLength)) {
    throw payloadSizeError(bytes.byteLength, describeLengths(rule));
  }
  return viewOf(bytes);
}

export function payloadSizeError(lengthBytes: number, expected: string): VhostUserError {
  return new VhostUserError('PAYLOAD_SIZE', `${lengthBytes} bytes, expected ${expected}`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A payload of bytes nobody interprets here; copied, because receive buffers are reused. */
export function opaqueCodec(minBytes: number): PayloadCodec<Uint8Array> {
  const lengths = { minBytes, maxBytes: PAYLOAD_BYTES_MAX };
  return {
    lengths,
    decode(bytes) {
      payloadView(bytes, lengths);
      return bytes.slice();
    },
    encode: (value) => value.slice(),
  };
}

function describeLengths(rule: LengthRule): string {
  return 'oneOf' in rule ? rule.oneOf.join(' or ') : `${rule.minBytes} to ${rule.maxBytes}`;
}
