// DPDK's virtio-user as the front-end of the card: what dpdk-testpmd says it sent and received is
// what the card counted, and frames that go round through both come back as they were.
// VHOST_TS_LONG=1: a minute for each row.

import { readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Testpmd, virtioUser, whyNoTestpmd } from '../../bench/net/testpmd.js';
import {
  hasFeature,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
} from '../../src/core/protocol/index.js';
import { VIRTIO_NET_F_MRG_RXBUF } from '../../src/devices/net/format.js';
import { native } from '../../src/native/index.js';
import { DaemonProcess } from '../../src/testing/index.js';
import { frame } from '../support/frames.js';
import { temporaryDirectory, until } from '../support/resources.js';

const RUN_MS = process.env.VHOST_TS_LONG ? 20_000 : 250;
t.setTimeout(30_000 + 20 * RUN_MS);

const FRAME_BYTES = 64;
const LARGE_BYTES = 9000;
/** Less than the kernel queues for a datagram socket (net.unix.max_dgram_qlen, 10): frames beyond
 *  that are lost, as they should. */
const WINDOW = 8;
const LOOKS_MAX = 500;
const RX = 0;
const TX = 1;

interface Row {
  readonly title: string;
  readonly packed: boolean;
  readonly mergeable: boolean;
  readonly inOrder: boolean;
}

const ROWS: readonly Row[] = [
  { title: 'split', packed: false, mergeable: true, inOrder: false },
  { title: 'split, a buffer for each frame', packed: false, mergeable: false, inOrder: false },
  { title: 'split, in order', packed: false, mergeable: true, inOrder: true },
  { title: 'packed', packed: true, mergeable: true, inOrder: false },
  {
    title: 'packed, a buffer for each frame, in order',
    packed: true,
    mergeable: false,
    inOrder: true,
  },
];

interface Counts {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: Readonly<Record<string, number>>;
}

interface QueueMoved {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

const SAYS_FEATURES = ['--log-format', 'json', '--log-level', 'debug'];

/** A daemon whose counts are asked for again and again: they go on from one front-end to the next. */
class CountedDaemon {
  readonly #daemon: DaemonProcess;
  #before = new Map<number, Counts>();

  constructor(daemon: DaemonProcess) {
    this.#daemon = daemon;
  }

  static async start(t: Test, socket: string, end: readonly string[]): Promise<CountedDaemon> {
    const daemon = await DaemonProcess.net(socket, [...end, ...SAYS_FEATURES]);
    t.teardown(() => daemon.stop());
    return new CountedDaemon(daemon);
  }

  get socket(): string {
    return this.#daemon.socket;
  }

  /** Whether the front-end that is connected took what a row is about. */
  agreed(): Omit<Row, 'title'> {
    const said = /.*"features":"(0x[0-9a-f]+)"/s.exec(this.#daemon.stderr)?.[1] ?? '0x0';
    const has = (bit: bigint) => hasFeature(BigInt(said), bit);
    return {
      packed: has(VIRTIO_F_RING_PACKED),
      mergeable: has(VIRTIO_NET_F_MRG_RXBUF),
      inOrder: has(VIRTIO_F_IN_ORDER),
    };
  }

  /** Packets, bytes and drops of a queue since the last call for it. */
  async since(queue: number): Promise<QueueMoved> {
    const now = await this.#counts(queue);
    const before = this.#before.get(queue) ?? { packets: 0, bytes: 0, drops: {} };
    this.#before.set(queue, now);
    return {
      packets: now.packets - before.packets,
      bytes: now.bytes - before.bytes,
      drops: sum(now.drops) - sum(before.drops),
    };
  }

  /** The same, once there are so many packets, or when no more come. */
  async until(queue: number, packets: number): Promise<QueueMoved> {
    const all = { packets: 0, bytes: 0, drops: 0 };
    for (let looks = 0; looks < LOOKS_MAX && all.packets + all.drops < packets; looks++) {
      const more = await this.since(queue);
      all.packets += more.packets;
      all.bytes += more.bytes;
      all.drops += more.drops;
    }
    return all;
  }

  async #counts(queue: number): Promise<Counts> {
    const from = this.#daemon.stderr.length;
    let found: Counts | undefined;
    this.#daemon.signal('SIGHUP');
    await until('the counts', () => {
      const lines = this.#daemon.stderr.slice(from).split('\n').slice(0, -1);
      const line = lines.find((text) => text.includes(`"queue":${queue},"packets"`));
      found = line === undefined ? undefined : (JSON.parse(line) as Counts);
      return found !== undefined;
    });
    return found as Counts;
  }
}

const sum = (drops: Counts['drops']) => Object.values(drops).reduce((a, b) => a + b, 0);
const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Our end of the card's datagrams. */
class Datagrams {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(LARGE_BYTES + 1);

  constructor(t: Test, own: string, card: string) {
    this.#fd = native.datagramBind(own);
    t.teardown(() => void native.fdClose(this.#fd));
    native.datagramConnect(this.#fd, card);
  }

  /** False: no room at the moment. */
  send(bytes: Uint8Array): boolean {
    return tried(() => writeSync(this.#fd, bytes)) !== undefined;
  }

  receive(): Buffer | undefined {
    const got = tried(() => readSync(this.#fd, this.#buffer));
    return got === undefined ? undefined : this.#buffer.subarray(0, got);
  }
}

/** Undefined: EAGAIN. */
function tried<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
      throw error;
    }
    return undefined;
  }
}

async function transmits(t: Test, row: Row, daemon: CountedDaemon): Promise<void> {
  const testpmd = await Testpmd.start({
    devices: [virtioUser({ ...row, socket: daemon.socket })],
    frameBytes: FRAME_BYTES,
  });
  const { title: _, ...asked } = row;
  t.same(daemon.agreed(), asked);
  await testpmd.forward('txonly');
  await rest(RUN_MS);
  const { sent } = await testpmd.rest();
  t.ok(sent > 0);
  // The last ones are in the ring when testpmd stops.
  const taken = { packets: sent, bytes: sent * FRAME_BYTES, drops: 0 };
  t.same(await daemon.until(TX, sent), taken, `${sent} sent`);
  await testpmd.quit();
}

async function receivesAndForwards(
  t: Test,
  row: Row,
  daemon: CountedDaemon,
  peer: Datagrams,
): Promise<void> {
  const testpmd = await Testpmd.start({
    devices: [virtioUser({ ...row, socket: daemon.socket })],
    ...(row.mergeable ? { largestBytes: LARGE_BYTES } : {}),
  });
  const { title: _, ...asked } = row;
  t.same(daemon.agreed(), asked);
  await testpmd.forward('rxonly');
  let given = 0;
  let givenBytes = 0;
  for (const endMs = performance.now() + RUN_MS; performance.now() < endMs; ) {
    const bytes = frame(60 + (given % 1400), given & 0xff);
    if (peer.send(bytes)) {
      given++;
      givenBytes += bytes.byteLength;
    } else {
      await rest(0);
    }
  }
  t.same(await daemon.until(RX, given), { packets: given, bytes: givenBytes, drops: 0 });
  // All are in the ring: testpmd looks at it without a pause, as long as it has a CPU.
  await rest(100);
  const { received } = await testpmd.rest();
  t.equal(received, given, `${given} received`);

  await testpmd.forward('io');
  const rounds = await circulate(t, peer, row.mergeable ? LARGE_BYTES : 1514);
  const forwarded = await testpmd.rest();
  t.same(forwarded, { received: rounds, sent: rounds, refused: 0 }, `${rounds} went round`);
  t.same(await daemon.since(TX), { ...(await daemon.since(RX)), drops: 0 });
  await testpmd.quit();
}

/** Keeps a window of frames on their way through the card, testpmd and the card again; how many
 *  came back as they were. */
async function circulate(t: Test, peer: Datagrams, bytesMax: number): Promise<number> {
  const frameOf = (i: number) => frame(60 + ((i * 37) % (bytesMax - 59)), i & 0xff);
  const endMs = performance.now() + RUN_MS;
  let sent = 0;
  let back = 0;
  let lastMs = performance.now();
  while (performance.now() < endMs || back < sent) {
    while (performance.now() < endMs && sent - back < WINDOW && peer.send(frameOf(sent))) {
      sent++;
    }
    const got = peer.receive();
    if (got === undefined) {
      if (performance.now() - lastMs > 5000) {
        t.fail(`frame ${back} never came back`);
        break;
      }
      await rest(0);
    } else if (Buffer.compare(got, frameOf(back)) !== 0) {
      t.fail(`frame ${back} came back changed`);
      break;
    } else {
      back++;
      lastMs = performance.now();
    }
  }
  return back;
}

t.test('frames of dpdk-testpmd', { skip: whyNoTestpmd() ?? false }, async (t) => {
  const directory = temporaryDirectory(t);
  const path = (name: string) => join(directory, name);
  const sink = await CountedDaemon.start(t, path('n'), ['--null']);
  const wire = await CountedDaemon.start(t, path('d'), [
    '--dgram',
    `${path('card')},${path('peer')}`,
  ]);
  const peer = new Datagrams(t, path('peer'), path('card'));
  for (const row of ROWS) {
    await t.test(row.title, async (t) => {
      await transmits(t, row, sink);
      await receivesAndForwards(t, row, wire, peer);
    });
  }
});
