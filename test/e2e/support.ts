// A spawned daemon and what must hold of it whatever a front-end did: alive, nothing left behind,
// nothing spinning, the next front-end served.

import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tap, { type Test } from 'tap';
import type { RawMessage } from '../../src/core/connection/connection.js';
import type { VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  encodeRequest,
  frontendRequestById,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VhostUserError,
} from '../../src/core/protocol/index.js';
import {
  BlkDriver,
  DaemonProcess,
  TestFrontend,
  type TestFrontendOptions,
  type TestQueue,
} from '../../src/testing/index.js';
import { pause } from './posted-writes.js';

export { drained, type Posted, pause, postWrites, prepareWrites } from './posted-writes.js';

export const IMAGE_BYTES = 16 << 20;
/** Enough for a ring and a few buffers; small, because many tests make one. */
const MEMORY_BYTES = 4 << 20;
/** How long a daemon may take to clean up after a session. */
const SETTLE_MS = 2000;
const SETTLE_STEP_MS = 2;
/** An idle daemon's CPU time in 200 ms; one tick of the kernel's count is 10 ms. */
const IDLE_WINDOW_MS = 200;
const IDLE_CPU_MS_MAX = 30;

export interface Resources {
  readonly fds: number;
  readonly sharedMappings: number;
}

export interface Scene {
  readonly daemon: DaemonProcess;
  readonly directory: string;
  readonly image: string;
  readonly baseline: Resources;
  /** A front-end connected and no more. */
  connect(options?: Partial<TestFrontendOptions>): TestFrontend;
  /** A front-end with running queues. */
  start(options?: Partial<TestFrontendOptions>): Promise<TestFrontend>;
}

interface SharedScene extends Scene {
  end(): Promise<void>;
}

/** Daemons of this file by their flags: a start takes longer than most tests. */
const shared = new Map<string, SharedScene>();
tap.teardown(async () => {
  await Promise.all([...shared.values()].map((scene) => scene.end()));
});

/** Runs `test` against a daemon that has already served a session, and whose other tests have left it
 *  healthy. A test that fails takes its daemon along. */
export async function withDaemon(
  t: Test,
  args: readonly string[],
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  const key = args.join(' ');
  const scene = shared.get(key) ?? (await openScene(args));
  shared.set(key, scene);
  let fine = false;
  try {
    await test(scene);
    await checkClean(t, scene, 'at the end');
    fine = t.passing();
  } finally {
    if (!fine) {
      shared.delete(key);
      await scene.end();
    }
  }
  t.notMatch(scene.daemon.stderr, /internal error|session failed|"level":50/, 'no error of ours');
}

async function openScene(args: readonly string[]): Promise<SharedScene> {
  const directory = mkdtempSync(join(tmpdir(), 'vh-'));
  const image = join(directory, 'disk.img');
  makeFile(image, IMAGE_BYTES);
  const socket = join(directory, 's');
  const daemon = await DaemonProcess.blk(socket, ['--image', image, ...args]);
  const killNow = () => daemon.signal('SIGKILL');
  process.once('exit', killNow);
  const connect = (options: Partial<TestFrontendOptions> = {}) =>
    new TestFrontend({ socket, memoryBytes: MEMORY_BYTES, ...options });
  const start = async (options: Partial<TestFrontendOptions> = {}) => {
    const frontend = connect(options);
    await frontend.negotiate();
    await frontend.startQueues();
    return frontend;
  };
  const end = async () => {
    await daemon.stop();
    process.removeListener('exit', killNow);
    rmSync(directory, { recursive: true });
  };
  try {
    await writeAndRead(await start());
    const baseline = await steady(daemon);
    return { daemon, directory, image, baseline, connect, start, end };
  } catch (error) {
    await end();
    throw error;
  }
}

export function makeFile(path: string, bytes: number): void {
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, bytes);
  closeSync(fd);
}

export function resources({ pid }: DaemonProcess): Resources {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  const sharedMappings = maps.split('\n').filter((line) => / rw-s /.test(line)).length;
  return { fds: readdirSync(`/proc/${pid}/fd`).length, sharedMappings };
}

/** Resources once they have stopped changing. */
async function steady(daemon: DaemonProcess): Promise<Resources> {
  const STILL_LOOKS = 10;
  let last = resources(daemon);
  for (let still = 0; still < STILL_LOOKS; still++) {
    await pause(5);
    const now = resources(daemon);
    if (now.fds !== last.fds || now.sharedMappings !== last.sharedMappings) {
      still = 0;
    }
    last = now;
  }
  return last;
}

/** I1 and I3: alive, descriptors and mappings back to the baseline. */
export async function checkClean(t: Test, scene: Scene, what: string): Promise<void> {
  const { daemon, baseline } = scene;
  const endMs = performance.now() + SETTLE_MS;
  if (!daemon.alive) {
    t.fail(`${what}: the daemon died: ${daemon.stderr}`);
    return;
  }
  // Served only once every earlier session has ended.
  const probe = scene.connect({ memoryBytes: 4096 });
  await probe.frontend.getFeatures();
  probe.close();
  let now = resources(daemon);
  while (now.fds !== baseline.fds || now.sharedMappings !== baseline.sharedMappings) {
    if (performance.now() > endMs) {
      t.same(now, baseline, `${what}: nothing left behind`);
      return;
    }
    await pause(SETTLE_STEP_MS);
    now = resources(daemon);
  }
}

/** I1, I3, I11. */
export async function checkHealthy(t: Test, scene: Scene, what = 'afterwards'): Promise<void> {
  await checkClean(t, scene, what);
  const frontend = await scene.start();
  t.ok(await writeAndRead(frontend), `${what}: a fresh front-end writes and reads`);
  await checkClean(t, scene, what);
}

/** I5: nobody spins. */
export async function checkIdle(t: Test, { daemon }: Scene, what: string): Promise<void> {
  const beforeS = daemon.cpuSeconds();
  await pause(IDLE_WINDOW_MS);
  const usedMs = (daemon.cpuSeconds() - beforeS) * 1000;
  t.ok(usedMs <= IDLE_CPU_MS_MAX, `${what}: idle (${usedMs.toFixed(0)} ms of CPU)`);
}

let pattern = 0;

/** Writes something new, reads it back, leaves. */
async function writeAndRead(frontend: TestFrontend): Promise<boolean> {
  const driver = new BlkDriver(frontend);
  const bytes = new Uint8Array(4096).fill(++pattern % 251);
  try {
    await driver.write(0, bytes);
    return Buffer.compare(await driver.read(0, bytes.byteLength), bytes) === 0;
  } finally {
    frontend.close();
  }
}

/** What the daemon said to a message. SILENT: no reply, and the connection lives. */
export type Answer = 'CLOSE' | 'NACK' | 'WORK' | 'SILENT';

export interface Asked {
  readonly answer: Answer;
  readonly replies: number;
  readonly payload: Uint8Array | undefined;
}

const GET_FEATURES = 1;

/** Sends one message as it is, and GET_FEATURES behind it: its reply shows that the connection lives
 *  and ends the replies to the message. */
export async function ask(
  { frontend }: TestFrontend,
  message: Uint8Array,
  fds: readonly number[] = [],
): Promise<Asked> {
  const barriers = new DataView(message.buffer).getUint32(0, true) === GET_FEATURES ? 2 : 1;
  const replies: RawMessage[] = [];
  try {
    frontend.sendRaw(message, fds);
    frontend.sendRaw(encodeRequest(GET_FEATURES, new Uint8Array(0), { needReply: false }));
    for (let seen = 0; seen < barriers; ) {
      const reply = await frontend.receive();
      replies.push(reply);
      seen += reply.header.request === GET_FEATURES ? 1 : 0;
    }
  } catch (error) {
    if (error instanceof VhostUserError && error.closesSession) {
      return { answer: 'CLOSE', replies: replies.length, payload: undefined };
    }
    throw error;
  }
  replies.pop();
  const [first] = replies;
  const answer = first === undefined ? 'SILENT' : judge(first);
  return { answer, replies: replies.length, payload: first?.payload };
}

function judge({ header, payload }: RawMessage): Answer {
  const row = frontendRequestById(header.request);
  const refusal = row === undefined ? 1n : row.reply.refusal;
  if (refusal === 'empty') {
    return payload.byteLength === 0 ? 'NACK' : 'WORK';
  }
  if (typeof refusal === 'bigint') {
    return Buffer.from(payload).readBigUInt64LE() === 0n ? 'WORK' : 'NACK';
  }
  return 'WORK';
}

/** The same for a call of the front-end's own methods. */
export async function outcome(call: Promise<unknown>): Promise<Answer> {
  try {
    await call;
    return 'WORK';
  } catch (error) {
    if (!(error instanceof VhostUserError)) {
      throw error;
    }
    return error.closesSession ? 'CLOSE' : 'NACK';
  }
}

/** True when the daemon ends the connection, whatever replies come before. */
export async function ends(frontend: VhostUserFrontend): Promise<boolean> {
  try {
    for (;;) {
      (await frontend.receive()).fds.close();
    }
  } catch (error) {
    return error instanceof VhostUserError;
  }
}

export interface Signals {
  readonly kick?: number;
  readonly call?: number;
  readonly err?: number;
}

/** Sets a stopped queue up again where it stopped, with other descriptors. */
export async function restart(
  { frontend, memory, queues }: TestFrontend,
  index: number,
  { kick, call, err }: Signals = {},
): Promise<void> {
  const { ring, kickFd, callFd, errFd } = queues[index] as TestQueue;
  await frontend.setVringNum(index, ring.size);
  await frontend.setVringBase(index, ring.availIndex);
  await frontend.setVringAddr({
    index,
    flags: 0,
    descriptorAddress: memory.userAddress(ring.descriptorOffset),
    availableAddress: memory.userAddress(ring.availOffset),
    usedAddress: memory.userAddress(ring.usedOffset),
    logAddress: 0n,
  });
  await frontend.setVringErr(index, err ?? errFd);
  await frontend.setVringCall(index, call ?? callFd);
  await frontend.setVringKick(index, kick ?? kickFd);
}

/** One input, how far a front-end has come when it sends it, and what must be answered. */
export interface Row {
  readonly id: string;
  readonly stage?: Stage;
  readonly expect: Answer | readonly Answer[];
  readonly options?: Partial<TestFrontendOptions>;
  send(frontend: TestFrontend): Promise<Answer>;
}

/** connected: nothing said. acked: protocol features. negotiated: features and memory too. */
export type Stage = 'connected' | 'acked' | 'negotiated' | 'running';

export async function reach(
  scene: Scene,
  stage: Stage,
  options?: Partial<TestFrontendOptions>,
): Promise<TestFrontend> {
  const frontend = scene.connect(options);
  if (stage === 'acked') {
    const offered = await frontend.frontend.getProtocolFeatures();
    // Rings are given by the front-end's own addresses.
    const taken = offered & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;
    await frontend.frontend.setProtocolFeatures(taken);
  } else if (stage !== 'connected') {
    await frontend.negotiate();
  }
  if (stage === 'running') {
    await frontend.startQueues();
  }
  return frontend;
}

/** Each row in a session of its own; the daemon clean after each and healthy after all. */
export async function runRows(t: Test, scene: Scene, rows: readonly Row[]): Promise<void> {
  for (const { id, stage = 'negotiated', expect, options, send } of rows) {
    const frontend = await reach(scene, stage, options);
    const answer = await send(frontend);
    const expected = typeof expect === 'string' ? [expect] : expect;
    t.ok(expected.includes(answer), `${id}: ${answer}, expected ${expected.join(' or ')}`);
    frontend.close();
    await checkClean(t, scene, id);
  }
  await checkHealthy(t, scene, rows[0]?.id);
}
