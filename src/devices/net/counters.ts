// What each virtqueue moved and why it dropped. Shared memory: the worker that owns a queue counts,
// the control thread reads.

/** Why a frame went nowhere. */
export const DROP_REASONS = [
  'length', // shorter than an Ethernet header, longer than any frame
  'header', // an offload that was not negotiated, or offsets outside the frame
  'port', // the host's end refused it or is gone
  'busy', // the host's end has no room
  'room', // the driver's buffers are too small
  'filtered', // not for this driver
  'offload', // its sender left undone what the driver can't do
  'vlan', // the port of the switch is in no such VLAN
  'source', // from a group's address, or from none
  'storm', // more to groups than the port may send
  'command', // of the control queue, refused
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export interface QueueCounts {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: Readonly<Record<DropReason, number>>;
}

const PACKETS = 0;
const BYTES = 1;
const DROPS = 2;
const FIELDS = DROPS + DROP_REASONS.length;
/** Queues of two workers lie in different cache lines. */
const FIELDS_PER_QUEUE = Math.ceil(FIELDS / 8) * 8;

export class NetCounters {
  readonly buffer: SharedArrayBuffer;
  /** Doubles count exactly to 2^53: packets for centuries. */
  readonly #fields: Float64Array;

  constructor(queues: number | SharedArrayBuffer) {
    this.buffer =
      typeof queues === 'number' ? new SharedArrayBuffer(queues * FIELDS_PER_QUEUE * 8) : queues;
    this.#fields = new Float64Array(this.buffer);
  }

  moved(queue: number, packets: number, bytes: number): void {
    const at = queue * FIELDS_PER_QUEUE;
    this.#add(at + PACKETS, packets);
    this.#add(at + BYTES, bytes);
  }

  dropped(queue: number, reason: DropReason, frames = 1): void {
    this.#add(queue * FIELDS_PER_QUEUE + DROPS + DROP_REASONS.indexOf(reason), frames);
  }

  of(queue: number): QueueCounts {
    const at = queue * FIELDS_PER_QUEUE;
    const field = (index: number) => this.#fields[at + index] as number;
    const drops = DROP_REASONS.map((reason, i) => [reason, field(DROPS + i)]);
    return { packets: field(PACKETS), bytes: field(BYTES), drops: Object.fromEntries(drops) };
  }

  /** What is counted of one queue, for native code to count too (exchange.COUNT_FRAMES, …). */
  fieldsOf(queue: number): Float64Array {
    const at = queue * FIELDS_PER_QUEUE;
    return this.#fields.subarray(at, at + FIELDS_PER_QUEUE);
  }

  #add(index: number, count: number): void {
    this.#fields[index] = (this.#fields[index] as number) + count;
  }
}
