// LF-001, LF-006: `kill -9` of the daemon under load at random moments, a new one each time, and the
// guest goes on as if nothing had been: every request answered exactly once, every block as written.
// VHOST_TS_KILL_ROUNDS scales it, VHOST_TS_KILL_SEED repeats a run.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { VhostUserError, VIRTIO_F_RING_EVENT_IDX } from '../../src/core/protocol/index.js';
import { DaemonProcess, type TestQueue } from '../../src/testing/index.js';
import { BlkLoad } from '../support/blk-load.js';
import { LastingGuest } from '../support/lasting-guest.js';
import { makeFile } from './support.js';

const ROUNDS = Number(process.env.VHOST_TS_KILL_ROUNDS ?? 200);
const SEED = Number(process.env.VHOST_TS_KILL_SEED ?? Date.now() % 1_000_000);
/** From the start of the load to the kill. */
const LIFE_MS_MAX = 20;
/** This part of the daemons dies in the handshake, or before. */
const EARLY_DEATHS = 0.2;
const HANDSHAKE_MS_MAX = 5;
const IMAGE_BYTES = 16 << 20;
/** A request that nobody took up again. */
const FORGOTTEN_MS = 10_000;
/** Only stops a broken harness: a round takes 0.3 s, more on a busy machine. */
const TEST_LIMIT_MS = 60_000 + ROUNDS * 1500;

t.setTimeout(TEST_LIMIT_MS);

interface Lane {
  readonly name: string;
  readonly queues: number;
  readonly queueSize: number;
  readonly packed?: boolean;
  readonly inOrder?: boolean;
  readonly slots: number;
  readonly withoutFeatures: bigint;
  readonly args: readonly string[];
}

/** Two at a time: the start of a daemon keeps one core busy. */
const LANES: readonly Lane[] = [
  {
    name: 'io_uring, two queues of 128',
    queues: 2,
    queueSize: 128,
    slots: 32,
    withoutFeatures: 0n,
    args: ['--num-queues', '2'],
  },
  {
    name: 'threads, one queue of 256, no event index, writethrough',
    queues: 1,
    queueSize: 256,
    slots: 64,
    withoutFeatures: VIRTIO_F_RING_EVENT_IDX,
    args: ['--aio', 'threads', '--cache', 'writethrough'],
  },
  {
    name: 'PK-014: packed, two queues of 100',
    queues: 2,
    queueSize: 100,
    packed: true,
    slots: 24,
    withoutFeatures: 0n,
    args: ['--num-queues', '2', '--queue-size', '128'],
  },
  {
    name: 'IN_ORDER, one queue of 128',
    queues: 1,
    queueSize: 128,
    inOrder: true,
    slots: 32,
    withoutFeatures: 0n,
    args: ['--in-order'],
  },
  {
    name: 'IN_ORDER, packed, one queue of 99',
    queues: 1,
    queueSize: 99,
    packed: true,
    inOrder: true,
    slots: 24,
    withoutFeatures: 0n,
    args: ['--in-order', '--queue-size', '128'],
  },
];

/** Mulberry32: small, and the same again for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class Victim {
  readonly guest: LastingGuest;
  readonly load: BlkLoad;
  readonly random: () => number;
  /** Rounds that died with requests in flight, or in the handshake. */
  interrupted = 0;
  early = 0;
  readonly #directory = mkdtempSync(join(tmpdir(), 'vk-'));
  readonly #lane: Lane;
  readonly #firstBases: readonly number[];
  #daemon: DaemonProcess | undefined;
  #started = false;
  readonly #killNow = () => this.#daemon?.signal('SIGKILL');

  constructor(lane: Lane, seed: number) {
    this.#lane = lane;
    this.random = randomOf(seed);
    makeFile(join(this.#directory, 'disk.img'), IMAGE_BYTES);
    const { queues, queueSize, packed = false, inOrder = false, withoutFeatures } = lane;
    const rings = { queues, queueSize, packed, inOrder };
    this.guest = new LastingGuest({ sizeBytes: 4 << 20, ...rings, withoutFeatures });
    this.#firstBases = this.guest.queues.map(({ driver }) => driver.resumeBase);
    this.load = new BlkLoad(this.guest, lane.slots, this.random);
    process.once('exit', this.#killNow);
  }

  async start(): Promise<DaemonProcess> {
    const image = join(this.#directory, 'disk.img');
    const socket = join(this.#directory, 's');
    const args = ['--image', image, ...this.#lane.args];
    this.#daemon = await DaemonProcess.blk(socket, args);
    return this.#daemon;
  }

  /** One life of a daemon. */
  async round(): Promise<void> {
    const daemon = await this.start();
    const early = this.random() < EARLY_DEATHS;
    let timer: NodeJS.Timeout | undefined;
    if (early) {
      timer = setTimeout(() => daemon.signal('SIGKILL'), this.random() * HANDSHAKE_MS_MAX);
    }
    try {
      await this.guest.connect(daemon.socket, (queue) => this.#anyBase(queue));
      this.#started = true;
    } catch (error) {
      if (!early || !(error instanceof VhostUserError || String(error).includes('ECONN'))) {
        throw error;
      }
      this.early++;
    }
    const endMs = performance.now() + this.random() * LIFE_MS_MAX;
    while (performance.now() < endMs && daemon.alive) {
      this.load.pump();
      await turn();
    }
    daemon.signal('SIGKILL');
    await daemon.exited;
    clearTimeout(timer);
    this.guest.disconnect();
    this.load.collect();
    this.interrupted += this.load.outstanding > 0 ? 1 : 0;
  }

  /** After a crash front-ends say any of these. */
  #anyBase(queue: TestQueue): number {
    // An area that no ring has started with says nothing, so the first start has to be told.
    if (!this.#started) {
      return this.#firstBases[queue.index] as number;
    }
    if (this.#lane.packed) {
      return queue.driver.resumeBase;
    }
    const { ring } = queue;
    const bases = [ring.usedIndex, ring.availIndex, ring.base];
    return bases[Math.floor(this.random() * bases.length)] as number;
  }

  /** A daemon that may live: everything comes back, and all is on the disk. */
  async settle(): Promise<void> {
    const daemon = await this.start();
    await this.guest.connect(daemon.socket, (queue) => this.#anyBase(queue));
    await this.#allBack();
    this.load.readAll();
    await this.#allBack();
    for (const { index } of this.guest.queues) {
      await this.guest.connected.getVringBase(index);
    }
    await daemon.stop();
  }

  async #allBack(): Promise<void> {
    const endMs = performance.now() + FORGOTTEN_MS;
    while (this.load.outstanding > 0 && performance.now() < endMs) {
      this.load.collect();
      await pause(1);
    }
  }

  async end(): Promise<void> {
    this.#daemon?.signal('SIGKILL');
    await this.#daemon?.exited;
    process.removeListener('exit', this.#killNow);
    this.guest.close();
    rmSync(this.#directory, { recursive: true });
  }
}

async function live(lane: Lane, seed: number, rounds: number): Promise<Victim> {
  const victim = new Victim(lane, seed);
  try {
    for (let round = 0; round < rounds && victim.load.faults.length === 0; round++) {
      await victim.round();
    }
    await victim.settle();
  } finally {
    await victim.end();
  }
  return victim;
}

const TITLE = 'killed under load, every request is answered exactly once';

t.test(TITLE, { timeout: TEST_LIMIT_MS }, async (t) => {
  t.comment(`seed ${SEED}`);
  const rounds = Math.ceil(ROUNDS / LANES.length);
  const victims = await Promise.all(LANES.map((lane, i) => live(lane, SEED + i, rounds)));
  victims.forEach(({ load, interrupted, early }, i) => {
    const name = `${LANES[i]?.name} (seed ${SEED})`;
    t.same(load.faults, [], name);
    t.equal(load.outstanding, 0, `${name}: nothing is forgotten`);
    t.equal(load.completed, load.submitted, `${name}: ${load.completed} requests`);
    t.comment(
      `${interrupted} of ${rounds} died with requests in flight, ${early} in the handshake`,
    );
    t.ok(interrupted > rounds / 4, `${name}: there was something to recover`);
  });
});
