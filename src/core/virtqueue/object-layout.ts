// How an object lies in a chain: what `ChainReader.object` reads and `ChainWriter.object` writes.

export interface ObjectLayout<T> {
  readonly bytes: number;
  /** `view` spans exactly `bytes`. */
  decode(view: DataView): T;
  encode(view: DataView, value: T): void;
}
