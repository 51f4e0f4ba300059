// A virtio-vsock driver for tests: packets over a TestFrontend, one by one or as whole streams
// under credit. Honest by default; a raw packet may say anything.

import type { TestFrontend, TestQueue } from './test-frontend.js';

export const VSOCK_REQUEST = 1;
export const VSOCK_RESPONSE = 2;
export const VSOCK_RST = 3;
export const VSOCK_SHUTDOWN = 4;
export const VSOCK_RW = 5;
export const VSOCK_CREDIT_UPDATE = 6;
export const VSOCK_CREDIT_REQUEST = 7;

export const VSOCK_STREAM = 1;
export const VSOCK_SEQPACKET = 2;

const RX = 0;
const TX = 1;
const HEADER_BYTES = 44;
const HOST_CID = 2;

export interface VsockPacket {
  readonly srcCid: bigint;
  readonly dstCid: bigint;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly length: number;
  readonly type: number;
  readonly op: number;
  readonly flags: number;
  readonly bufAlloc: number;
  readonly fwdCnt: number;
  readonly payload: Uint8Array;
}

export interface VsockDriverOptions {
  readonly guestCid?: number;
  readonly receiveBuffers?: number;
  /** Of one buffer, header included; Linux's are a page. */
  readonly receiveBytes?: number;
  /** Room this driver gives to each connection. */
  readonly bufAlloc?: number;
}

const DEFAULT_GUEST_CID = 42;
const DEFAULT_BUFFERS = 32;
const DEFAULT_RECEIVE_BYTES = 4096;
const DEFAULT_BUF_ALLOC = 262_144;
const SEND_SLOTS = 16;
const SEND_PAYLOAD_BYTES = 65_536;

/** The guest's end of a connection, with its credit. */
export interface GuestSocket {
  readonly type: number;
  /** The host's, or that of another guest. */
  readonly peerCid: number;
  readonly guestPort: number;
  readonly hostPort: number;
  sent: number;
  peerBufAlloc: number;
  peerFwdCnt: number;
  received: number;
  announced: number;
}

export class VsockDriver {
  readonly frontend: TestFrontend;
  readonly guestCid: number;
  readonly bufAlloc: number;
  /** Heads of receive chains to where they lie. */
  readonly #buffers = new Map<number, number>();
  readonly #receiveBytes: number;
  readonly #slots: number[] = [];
  readonly #busySlots = new Map<number, number>();
  readonly #inbox: VsockPacket[] = [];
  readonly #sockets = new Map<string, GuestSocket>();
  #stocked = true;

  constructor(frontend: TestFrontend, options: VsockDriverOptions = {}) {
    this.frontend = frontend;
    this.guestCid = options.guestCid ?? DEFAULT_GUEST_CID;
    this.bufAlloc = options.bufAlloc ?? DEFAULT_BUF_ALLOC;
    this.#receiveBytes = options.receiveBytes ?? DEFAULT_RECEIVE_BYTES;
    for (let i = 0; i < SEND_SLOTS; i++) {
      this.#slots.push(frontend.memory.allocate(HEADER_BYTES + SEND_PAYLOAD_BYTES));
    }
    this.offerBuffers(options.receiveBuffers ?? DEFAULT_BUFFERS);
  }

  /** More receive buffers. */
  offerBuffers(count: number, bytes = this.#receiveBytes): void {
    for (let i = 0; i < count; i++) {
      this.#offer(this.frontend.memory.allocate(bytes), bytes);
    }
    this.#publish(this.frontend.queue(RX));
  }

  /** From here on buffers that come back are not offered again; or they are. */
  set stocked(stocked: boolean) {
    this.#stocked = stocked;
  }

  /** The next packet of the device's; throws after the limit. */
  async packet(timeoutMs = 5000): Promise<VsockPacket> {
    const packet = await this.packetWithin(timeoutMs);
    if (packet === undefined) {
      throw new Error(`no packet within ${timeoutMs} ms`);
    }
    return packet;
  }

  async packetWithin(timeoutMs: number): Promise<VsockPacket | undefined> {
    const queue = this.frontend.queue(RX);
    for (;;) {
      this.#receive(queue);
      const first = this.#inbox.shift();
      if (first !== undefined) {
        return first;
      }
      if (!queue.driver.hasUsed && !(await queue.signalled(queue.callFd, timeoutMs))) {
        return undefined;
      }
    }
  }

  /** The next packet with this op; others before it are dropped, their credit noted. */
  async packetOf(op: number, timeoutMs = 5000): Promise<VsockPacket> {
    for (;;) {
      const packet = await this.packet(timeoutMs);
      if (packet.op === op) {
        return packet;
      }
    }
  }

  /** Puts one packet on its way, fields as given. */
  async post(
    fields: Partial<Omit<VsockPacket, 'payload'>>,
    payload: Uint8Array = new Uint8Array(0),
    pieces: readonly number[] = [],
  ): Promise<void> {
    const queue = this.frontend.queue(TX);
    const slot = await this.#slot(queue);
    const { bytes, view } = this.frontend.memory;
    view.setBigUint64(slot, fields.srcCid ?? BigInt(this.guestCid), true);
    view.setBigUint64(slot + 8, fields.dstCid ?? BigInt(HOST_CID), true);
    view.setUint32(slot + 16, fields.srcPort ?? 0, true);
    view.setUint32(slot + 20, fields.dstPort ?? 0, true);
    view.setUint32(slot + 24, fields.length ?? payload.byteLength, true);
    view.setUint16(slot + 28, fields.type ?? VSOCK_STREAM, true);
    view.setUint16(slot + 30, fields.op ?? 0, true);
    view.setUint32(slot + 32, fields.flags ?? 0, true);
    view.setUint32(slot + 36, fields.bufAlloc ?? this.bufAlloc, true);
    view.setUint32(slot + 40, fields.fwdCnt ?? 0, true);
    bytes.set(payload, slot + HEADER_BYTES);
    const total = HEADER_BYTES + payload.byteLength;
    const head = queue.driver.add(cut(slot, total, pieces));
    this.#busySlots.set(head, slot);
    this.#publish(queue);
  }

  // Whole connections.

  /** A socket of the guest's that takes part in nothing yet. */
  socket(
    guestPort: number,
    hostPort: number,
    type = VSOCK_STREAM,
    peerCid = HOST_CID,
  ): GuestSocket {
    const made = {
      type,
      peerCid,
      guestPort,
      hostPort,
      sent: 0,
      peerBufAlloc: 0,
      peerFwdCnt: 0,
      received: 0,
      announced: 0,
    };
    this.#sockets.set(`${guestPort}/${peerCid}:${hostPort}`, made);
    return made;
  }

  /** Connects to a port of the host's; throws when it is refused. */
  async connect(
    guestPort: number,
    hostPort: number,
    type = VSOCK_STREAM,
    peerCid = HOST_CID,
  ): Promise<GuestSocket> {
    const socket = this.socket(guestPort, hostPort, type, peerCid);
    await this.say(socket, VSOCK_REQUEST);
    const answer = await this.packet();
    if (answer.op !== VSOCK_RESPONSE || answer.dstPort !== guestPort) {
      throw new Error(`REQUEST was answered with op ${answer.op} to port ${answer.dstPort}`);
    }
    return socket;
  }

  /** Takes the next REQUEST. */
  async accept(): Promise<GuestSocket> {
    const request = await this.packetOf(VSOCK_REQUEST);
    const { dstPort, srcPort, type, srcCid } = request;
    const socket = this.socket(dstPort, srcPort, type, Number(srcCid));
    socket.peerBufAlloc = request.bufAlloc;
    await this.say(socket, VSOCK_RESPONSE);
    return socket;
  }

  /** One packet of a connection, with the right credit fields. */
  async say(socket: GuestSocket, op: number, flags = 0, payload?: Uint8Array): Promise<void> {
    socket.announced = socket.received;
    socket.sent = (socket.sent + (payload?.byteLength ?? 0)) >>> 0;
    await this.post(
      {
        dstCid: BigInt(socket.peerCid),
        srcPort: socket.guestPort,
        dstPort: socket.hostPort,
        type: socket.type,
        op,
        flags,
        fwdCnt: socket.received,
      },
      payload,
    );
  }

  /** Everything, in packets of at most 64 KiB, as credit comes. */
  async send(socket: GuestSocket, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      const free = socket.peerBufAlloc - ((socket.sent - socket.peerFwdCnt) >>> 0);
      const part = Math.min(free, SEND_PAYLOAD_BYTES, bytes.byteLength - at);
      if (part > 0) {
        await this.say(socket, VSOCK_RW, 0, bytes.subarray(at, at + part));
        at += part;
      } else {
        await this.packet();
      }
    }
  }

  /** So many bytes of payload, giving credit as they come. */
  async receive(socket: GuestSocket, count: number): Promise<Uint8Array> {
    const to = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const { payload, op, dstPort } = await this.packet();
      if (op === VSOCK_RW && dstPort === socket.guestPort) {
        to.set(payload, at);
        at += payload.byteLength;
        await this.giveCredit(socket);
      }
    }
    return to;
  }

  /** Tells of room as Linux does: when the device knows of less than a packet's. */
  async giveCredit(socket: GuestSocket): Promise<void> {
    const unknown = (socket.received - socket.announced) >>> 0;
    if (this.bufAlloc - unknown < SEND_PAYLOAD_BYTES) {
      await this.say(socket, VSOCK_CREDIT_UPDATE);
    }
  }

  #offer(offset: number, bytes: number): void {
    const head = this.frontend.queue(RX).driver.add([{ offset, bytes, writable: true }]);
    this.#buffers.set(head, offset);
  }

  #publish(queue: TestQueue): void {
    if (queue.driver.publish()) {
      queue.kick();
    }
  }

  #receive(queue: TestQueue): void {
    const { memory } = this.frontend;
    // Offered after the loop: a new chain may get the head of one that is still to be looked at.
    const free: number[] = [];
    for (const { id, length } of queue.driver.takeUsed()) {
      const offset = this.#buffers.get(id) as number;
      this.#buffers.delete(id);
      if (length >= HEADER_BYTES) {
        const packet = parse(memory.bytes.slice(offset, offset + length));
        this.#note(packet);
        this.#inbox.push(packet);
      }
      free.push(offset);
    }
    if (this.#stocked && free.length > 0) {
      for (const offset of free) {
        this.#offer(offset, this.#receiveBytes);
      }
      this.#publish(queue);
    }
  }

  #note(packet: VsockPacket): void {
    const socket = this.#sockets.get(`${packet.dstPort}/${packet.srcCid}:${packet.srcPort}`);
    if (socket !== undefined && packet.op !== VSOCK_RST) {
      socket.peerBufAlloc = packet.bufAlloc;
      socket.peerFwdCnt = packet.fwdCnt;
      socket.received = (socket.received + packet.payload.byteLength) >>> 0;
    }
  }

  async #slot(queue: TestQueue): Promise<number> {
    for (;;) {
      for (const { id } of queue.driver.takeUsed()) {
        this.#slots.push(this.#busySlots.get(id) as number);
        this.#busySlots.delete(id);
      }
      const slot = this.#slots.pop();
      if (slot !== undefined) {
        return slot;
      }
      if (!queue.driver.hasUsed && !(await queue.signalled(queue.callFd))) {
        throw new Error('no packet of ours came back');
      }
    }
  }
}

function parse(bytes: Uint8Array): VsockPacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getUint32(24, true);
  return {
    srcCid: view.getBigUint64(0, true),
    dstCid: view.getBigUint64(8, true),
    srcPort: view.getUint32(16, true),
    dstPort: view.getUint32(20, true),
    length,
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufAlloc: view.getUint32(36, true),
    fwdCnt: view.getUint32(40, true),
    payload: bytes.subarray(HEADER_BYTES, HEADER_BYTES + length),
  };
}

/** A readable chain of [offset, offset + bytes), in pieces of these lengths and what is left. */
function cut(offset: number, bytes: number, pieces: readonly number[]) {
  const buffers = [];
  let at = 0;
  for (const piece of pieces) {
    buffers.push({ offset: offset + at, bytes: piece, writable: false });
    at += piece;
  }
  if (at < bytes) {
    buffers.push({ offset: offset + at, bytes: bytes - at, writable: false });
  }
  return buffers;
}
