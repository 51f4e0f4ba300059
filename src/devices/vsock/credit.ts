// Credit of one connection, both directions (VIRTIO 1.3 §5.10.6.3). Counters wrap at 2^32, so only
// differences mean anything.

/** The largest packet Linux sends: with less room than this left, its sender hears of progress. */
const PACKET_BYTES = 65536;

export class Credit {
  /** Room we give the guest, in bytes. */
  readonly bufAlloc: number;
  // What the guest sends.
  #received = 0;
  #forwarded = 0;
  #announced = 0;
  // What we send.
  #sent = 0;
  #peerBufAlloc = 0;
  #peerForwarded = 0;

  constructor(bufAlloc: number) {
    this.bufAlloc = bufAlloc;
  }

  /** From the header of any packet of the guest's. A count that went back, or passed what was sent,
   *  is not believed (VS-024): packets of two guest CPUs may overtake each other. */
  heard(bufAlloc: number, forwarded: number): void {
    this.#peerBufAlloc = bufAlloc;
    if ((this.#sent - forwarded) >>> 0 <= this.inFlight) {
      this.#peerForwarded = forwarded;
    }
  }

  /** Bytes sent that the guest has not taken. */
  get inFlight(): number {
    return (this.#sent - this.#peerForwarded) >>> 0;
  }

  /** Bytes we may send now; none when the guest took back what it had given (VS-022). */
  get sendable(): number {
    return Math.max(0, this.#peerBufAlloc - this.inFlight);
  }

  /** The largest message the guest can ever take. */
  get peerBufAlloc(): number {
    return this.#peerBufAlloc;
  }

  sent(bytes: number): void {
    this.#sent = (this.#sent + bytes) >>> 0;
  }

  /** False when the guest sent more than it may (VS-020); nothing is counted then. */
  receive(bytes: number): boolean {
    if (bytes > this.bufAlloc - this.held) {
      return false;
    }
    this.#received = (this.#received + bytes) >>> 0;
    return true;
  }

  /** Bytes received and not passed on. */
  get held(): number {
    return (this.#received - this.#forwarded) >>> 0;
  }

  forward(bytes: number): void {
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
  }

  /** Bytes passed on since the beginning, for the header of a packet. */
  get forwarded(): number {
    return this.#forwarded;
  }

  /** A packet that says so has gone. */
  announce(): void {
    this.#announced = this.#forwarded;
  }

  /** Whether the guest ought to hear of room it does not know of. A message may need all there is,
   *  a stream goes on with what it has. */
  updateDue(messages: boolean): boolean {
    const unknown = (this.#forwarded - this.#announced) >>> 0;
    const known = this.bufAlloc - ((this.#received - this.#announced) >>> 0);
    return unknown >= this.bufAlloc / 2 || (messages && unknown > 0 && known < PACKET_BYTES);
  }
}
