// What the cursors of a chain need from it.

export interface ChainAccess {
  /** Throws COMPLETED once the chain was given back. */
  requireOpen(): void;
  /** From an offset in the device-readable part; the bytes copied. */
  copyOut(offset: number, to: Uint8Array, bytes: number): number;
  /** To an offset in the device-writable part; the bytes copied, which count as used length. */
  copyIn(offset: number, from: Uint8Array, bytes: number): number;
}
