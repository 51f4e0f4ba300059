// What a virtqueue is configured to and how far it has come: plain data, for a clone or a file.

export interface QueueState {
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly maxSize: number;
  readonly size: number;
  readonly ready: boolean;
  readonly eventIdx: boolean;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
  /** 16 bits; of a packed ring a place and, in bit 15, its wrap counter (VIRTIO 1.3 §2.8.14). */
  readonly nextAvail: number;
  readonly nextUsed: number;
}
