// Our front-end, unchanged, as the driver of DPDK's vhost library: two net_vhost ports of a
// dpdk-testpmd that forwards from one to the other. What goes in at one end must come out at the
// other as it was.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LOG_PAGE_BYTES, type VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  protocolFeatureNames,
  VHOST_USER_PROTOCOL_F_STATUS,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
} from '../../src/core/protocol/index.js';
import { isListening } from '../../src/testing/index.js';
import { type ChildExit, spawnTracked } from '../guest/children.js';
import { DeviceRig } from '../support/device-rig.js';
import { temporaryDirectory, until } from '../support/resources.js';

const PROGRAM = 'dpdk-testpmd';
const missing = whyNot();

const RX = 0;
const TX = 1;
const QUEUES = 2;
const QUEUE_SIZE = 256;
const MRG_RXBUF = 1n << 15n;
/** VIRTIO 1.3 §5.1.6: virtio_net_hdr with VERSION_1. */
const HEADER_BYTES = 12;
const BUFFER_BYTES = 2048;
const NUM_BUFFERS_OFFSET = 10;
const MEMORY_MIB = 128;
const REACH_MS = 30_000;
const PROBE_MS = 20;

/** The program and the two drivers it needs are separate packages. */
function whyNot(): string | false {
  if (spawnSync(PROGRAM, ['--version']).error !== undefined) {
    return `${PROGRAM} is not installed (Debian: dpdk-dev librte-net-vhost23 librte-mempool-ring23)`;
  }
  return false;
}

/** testpmd with two ports, forwarding: `mode` of its --forward-mode. */
async function forwarder(t: Test, mode: string): Promise<[string, string]> {
  const directory = temporaryDirectory(t);
  const sockets: [string, string] = [join(directory, 'a'), join(directory, 'b')];
  const eal = ['-l', '0,1', '--no-huge', '-m', `${MEMORY_MIB}`, '--no-pci', '--no-telemetry'];
  const ports = sockets.map((path, i) => `--vdev=net_vhost${i},iface=${path},queues=1`);
  const args = [...eal, `--file-prefix=vt${process.pid}`, ...ports];
  const app = ['--', `--forward-mode=${mode}`, '--total-num-mbufs=4096', '--disable-link-check'];
  const child = spawnTracked(PROGRAM, [...args, ...app], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.process.stdout?.on('data', (text) => {
    output += String(text);
  });
  child.process.stderr?.on('data', (text) => {
    output += String(text);
  });
  t.teardown(async () => {
    child.kill();
    await child.exited;
  });
  let exit: ChildExit | undefined;
  void child.exited.then((ended) => {
    exit = ended;
  });
  // Its own words come late, through a full buffer of stdio's; its sockets don't.
  await until('both ports', () => sockets.every(isListening) || exit !== undefined);
  if (exit !== undefined) {
    throw new Error(`testpmd ended: ${output.slice(-2000)}`);
  }
  return sockets;
}

/** One port with its receive queue filled. */
class NetPort {
  readonly rig: DeviceRig;
  readonly #buffers = new Map<number, number>();

  constructor(rig: DeviceRig) {
    this.rig = rig;
  }

  static async open(socket: string): Promise<NetPort> {
    const port = new NetPort(
      await DeviceRig.connect({
        socket,
        queueCount: QUEUES,
        queueSize: QUEUE_SIZE,
        driverFeatures: MRG_RXBUF,
      }),
    );
    await port.rig.start();
    const { driver: ring, kick } = port.rig.queue(RX);
    for (let i = 0; i < QUEUE_SIZE / 2; i++) {
      const offset = port.rig.memory.allocate(BUFFER_BYTES, BUFFER_BYTES);
      port.#buffers.set(ring.add([{ offset, bytes: BUFFER_BYTES, writable: true }]), offset);
    }
    ring.publish();
    kick();
    return port;
  }

  send(frames: readonly Uint8Array[], indirect: boolean): void {
    const { driver: ring, kick } = this.rig.queue(TX);
    const { memory } = this.rig;
    for (const frame of frames) {
      const header = memory.allocate(HEADER_BYTES);
      memory.bytes.fill(0, header, header + HEADER_BYTES);
      const data = memory.allocate(frame.byteLength, 64);
      memory.bytes.set(frame, data);
      ring.add(
        [
          { offset: header, bytes: HEADER_BYTES, writable: false },
          { offset: data, bytes: frame.byteLength, writable: false },
        ],
        { indirect },
      );
    }
    if (ring.publish()) {
      kick();
    }
  }

  /** Frames that came, headers cut off, probes left out; their buffers are given back. */
  receive(): Uint8Array[] {
    return this.#receiveAll().filter((bytes) => Buffer.compare(bytes, PROBE) !== 0);
  }

  /** Sends probes until one gets there: testpmd drops what is for a port whose rings it has not yet
   *  taken up, which on a loaded machine takes longer than our start of them. */
  async reach(other: NetPort): Promise<void> {
    const mark = this.rig.memory.mark();
    const endMs = performance.now() + REACH_MS;
    for (let came = 0; came === 0; ) {
      if (performance.now() > endMs) throw new Error('no probe got there');
      this.send([PROBE], false);
      await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
      came = other.#receiveAll().length;
      this.rig.queue(TX).driver.takeUsed();
    }
    this.rig.memory.reset(mark);
  }

  #receiveAll(): Uint8Array[] {
    const { driver: ring, kick } = this.rig.queue(RX);
    const { memory } = this.rig;
    // All buffers are taken out before one goes back: heads are free for reuse already.
    const filled = ring.takeUsed().map(({ id, length }) => {
      const offset = this.#buffers.get(id) as number;
      this.#buffers.delete(id);
      return { offset, length };
    });
    const frames = filled.map(({ offset, length }) => {
      if (memory.view.getUint16(offset + NUM_BUFFERS_OFFSET, true) !== 1) {
        throw new Error('a frame in more than one buffer');
      }
      return memory.bytes.slice(offset + HEADER_BYTES, offset + length);
    });
    for (const { offset } of filled) {
      this.#buffers.set(ring.add([{ offset, bytes: BUFFER_BYTES, writable: true }]), offset);
    }
    if (frames.length > 0 && ring.publish()) {
      kick();
    }
    return frames;
  }
}

/** An Ethernet frame like no other; at least 60 bytes, as a wire would want. */
function frame(index: number): Uint8Array {
  const bytes = new Uint8Array(60 + ((index * 37) % 1400));
  bytes.forEach((_, i) => {
    bytes[i] = (i * 11 + index) & 0xff;
  });
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
  new DataView(bytes.buffer).setUint32(14, index);
  return bytes;
}

/** One that no test sends otherwise. */
const PROBE = frame(0xffff);

/** Two ports of one testpmd, open for frames in both directions. */
async function openPorts([left, right]: readonly [string, string]): Promise<[NetPort, NetPort]> {
  const [a, b] = [await NetPort.open(left), await NetPort.open(right)];
  await a.reach(b);
  await b.reach(a);
  return [a, b];
}

async function travel(
  from: NetPort,
  to: NetPort,
  frames: readonly Uint8Array[],
  indirect: boolean,
) {
  const came: Uint8Array[] = [];
  from.send(frames, indirect);
  await until(`${frames.length} frames`, () => {
    came.push(...to.receive());
    return came.length >= frames.length;
  });
  await until('what was sent to be used', () => {
    from.rig.queue(TX).driver.takeUsed();
    return from.rig.queue(TX).driver.freeCount === QUEUE_SIZE;
  });
  return came;
}

t.test('frames cross two net_vhost ports', { skip: missing }, async (t) => {
  const [a, b] = await openPorts(await forwarder(t, 'io'));
  const backend = a.rig.device.backend as VhostUserFrontend;
  t.comment(protocolFeatureNames(backend.protocolFeatures).join(' '));
  t.ok(backend.protocolFeatures & VHOST_USER_PROTOCOL_F_STATUS, 'SET_STATUS was used');
  t.ok(a.rig.device.queueNum > 0, 'DPDK counts the pairs it could have');
  for (const [from, to, what] of [
    [a, b, 'there'],
    [b, a, 'back'],
  ] as const) {
    const mark = from.rig.memory.mark();
    for (let round = 0; round < 10; round++) {
      const indirect = round % 2 === 1 && hasIndirect(a);
      const frames = Array.from({ length: 32 }, (_, i) => frame(round * 32 + i));
      const came = await travel(from, to, frames, indirect);
      from.rig.memory.reset(mark);
      t.same(
        came.map((bytes) => Buffer.from(bytes).toString('hex')),
        frames.map((bytes) => Buffer.from(bytes).toString('hex')),
        `${what}, round ${round}`,
      );
    }
  }
  await a.rig.stop();
  await b.rig.stop();
});

t.test('logs the frames it delivers', { skip: missing }, async (t) => {
  const [a, b] = await openPorts(await forwarder(t, 'io'));
  await travel(a, b, [frame(0)], false);
  await b.rig.device.startLog();
  const came = await travel(a, b, [frame(1)], false);
  t.same(came, [frame(1)], 'frames go on meanwhile');
  const pages = b.rig.device.syncLog();
  const { driver: ring } = b.rig.queue(RX);
  const usedPage = b.rig.memory.guestAddress(ring.usedOffset & ~(LOG_PAGE_BYTES - 1));
  t.ok(pages.includes(usedPage), 'the used ring');
  t.ok(pages.length > 1, `and the buffer (${pages.length} pages)`);
  t.same(b.rig.device.syncLog(), [], 'each page once');
  await b.rig.device.stopLog();
  await a.rig.stop();
  await b.rig.stop();
});

function hasIndirect({ rig }: NetPort): boolean {
  return (rig.device.ackedFeatures & VIRTIO_F_RING_INDIRECT_DESC) !== 0n;
}

t.test('stops and goes on where it stopped', { skip: missing }, async (t) => {
  const [a, b] = await openPorts(await forwarder(t, 'io'));
  t.ok(a.rig.device.ackedFeatures & VIRTIO_F_RING_EVENT_IDX);
  for (let round = 0; round < 3; round++) {
    const came = await travel(a, b, [frame(round)], false);
    t.same(came, [frame(round)], `round ${round}`);
    const [, txBase] = await a.rig.device.stop();
    t.equal(txBase, a.rig.queue(TX).driver.resumeBase, 'nothing left in the ring');
    await a.rig.start();
  }
  await a.rig.stop();
  await b.rig.stop();
});
