// A guest whose disk is reset, unplugged and plugged, and whose memory grows and shrinks under I/O:
// one boot, one daemon.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Backend } from './backend.js';
import { startBackend } from './backend.js';
import { within } from './children.js';
import type { Machine } from './console.js';
import { DISK_LAYOUT } from './disk-layout.js';
import { collectFacts } from './guest-run.js';
import { checkImage } from './image-check.js';
import { startQemu } from './qemu.js';
import { Qmp } from './qmp.js';
import { createSparseImage, stopAndJudge } from './scenario.js';

export interface LifecycleOutcome {
  /** Empty when all went well. */
  readonly problems: readonly string[];
  readonly facts: ReadonlyMap<string, string>;
  /** What the daemon got in each phase, in order: names of requests, and "connected". */
  readonly requests: ReadonlyMap<string, readonly string[]>;
  readonly lines: readonly string[];
  readonly output: readonly string[];
}

export const NUM_QUEUES = 2;
/** Four sets of it, and one more for each new start of the disk. */
export const FILL_MIB = 3;
/** One memory block, the least that Linux takes into use on x86. */
const DIMM_MIB = 128;
const BOOT_LIMIT_MS = 60_000;
const STEP_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 5000;
const TAIL_LINES = 60;
/** The disk's start and what came after it. */
const OUTPUT_TAIL_LINES = 100;

interface Scene {
  readonly backend: Backend;
  readonly machine: Machine;
  readonly qmp: Qmp;
  readonly socketPath: string;
  readonly requests: Map<string, string[]>;
}

const DISK = {
  driver: 'vhost-user-blk-pci',
  id: 'disk',
  bus: 'root0',
  chardev: 'disk',
  'num-queues': NUM_QUEUES,
};

function startGuest(socketPath: string, monitorPath: string): Machine {
  return startQemu({
    numQueues: NUM_QUEUES,
    monitorPath,
    memorySlots: { count: 2, totalMib: 2 * DIMM_MIB },
    devices: [
      ...['-chardev', `socket,id=disk,path=${socketPath}`],
      ...['-device', 'pcie-root-port,id=root0,chassis=1'],
      ...['-device', JSON.stringify(DISK)],
    ],
    accelerator: 'tcg',
    parameters: {
      vt_role: 'lifecycle',
      vt_fill_mib: FILL_MIB,
      vt_part_mib: DISK_LAYOUT.partitionMib,
      vt_raw_mib: DISK_LAYOUT.rawStartMib,
      vt_dimm_mib: DIMM_MIB,
    },
  });
}

async function reach(
  { machine, backend }: Scene,
  text: string,
  limitMs = STEP_LIMIT_MS,
): Promise<void> {
  const said = machine.console.waitFor(text, limitMs);
  const over = machine.console.waitFor('end poweroff', limitMs).then(() => false);
  if ((await Promise.race([said, over, machine.child.exited, backend.exited])) !== true) {
    throw new Error(`the guest never said "${text}"`);
  }
}

/** Runs one phase and keeps the requests that came meanwhile, and that a front-end connected. */
async function phase(scene: Scene, name: string, run: () => Promise<void>): Promise<void> {
  const earlier = scene.backend.output.length;
  try {
    await run();
  } finally {
    const lines = scene.backend.output.slice(earlier);
    const found = lines.map((line) => /"request":"(\w+)"|front-end (connected)/.exec(line));
    const words = found.map((match) => match?.[1] ?? match?.[2]);
    scene.requests.set(
      name,
      words.filter((word) => word !== undefined),
    );
  }
}

async function unplugDisk(scene: Scene, count: number): Promise<void> {
  await reach(scene, `mark unplug ${count}`);
  await phase(scene, `unplug ${count}`, async () => {
    await scene.qmp.execute('device_del', { id: DISK.id });
    await scene.qmp.deviceDeleted(DISK.id, STEP_LIMIT_MS);
    await reach(scene, `mark plug ${count}`);
  });
}

async function reconnect({ qmp, socketPath }: Scene): Promise<void> {
  const address = { type: 'unix', data: { path: socketPath } };
  const backend = { type: 'socket', data: { addr: address, server: false } };
  await qmp.execute('chardev-remove', { id: DISK.chardev });
  await qmp.execute('chardev-add', { id: DISK.chardev, backend });
}

async function plugDisk(scene: Scene, count: number, anew = false): Promise<void> {
  await phase(scene, `plug ${count}`, async () => {
    if (anew) await reconnect(scene);
    await scene.qmp.execute('device_add', DISK);
    await reach(scene, `ok use-after-plug ${count}`);
  });
}

async function plugMemory({ qmp }: Scene, id: string): Promise<void> {
  const size = DIMM_MIB * 1024 * 1024;
  const memory = { 'qom-type': 'memory-backend-memfd', id: `${id}-memory`, size, share: true };
  await qmp.execute('object-add', memory);
  await qmp.execute('device_add', { driver: 'pc-dimm', id, memdev: memory.id });
}

async function memoryPhases(scene: Scene): Promise<void> {
  await reach(scene, 'mark plug-memory');
  // Each change comes in the midst of a round of I/O, the vrings running.
  await phase(scene, 'plug memory', async () => {
    await reach(scene, 'ok half-plugged round 1');
    await plugMemory(scene, 'dimm0');
    await reach(scene, 'mark half-plugged');
    await plugMemory(scene, 'dimm1');
    await reach(scene, 'mark unplug-memory');
  });
  await phase(scene, 'unplug memory', async () => {
    await reach(scene, 'ok half-unplugged round 1');
    await scene.qmp.execute('device_del', { id: 'dimm1' });
    await scene.qmp.deviceDeleted('dimm1', STEP_LIMIT_MS);
    await reach(scene, 'mark half-unplugged');
  });
  await phase(scene, 'plug again', async () => {
    // At the address that became free.
    await plugMemory(scene, 'dimm2');
    await reach(scene, 'mark plugged-again');
  });
}

async function drive(scene: Scene): Promise<void> {
  await reach(scene, 'mark rebind', BOOT_LIMIT_MS);
  await phase(scene, 'rebind', () => reach(scene, 'mark rebound'));
  // Once on the connection there is, once on a new one.
  await unplugDisk(scene, 1);
  await plugDisk(scene, 1);
  await unplugDisk(scene, 2);
  await plugDisk(scene, 2, true);
  await memoryPhases(scene);
  await reach(scene, 'end poweroff');
}

/** What is wrong, however far the guest came. */
function judgeWords({ console }: Machine, backend: Backend): string[] {
  const texts = console.guestLines.map(({ text }) => text);
  return [
    ...texts.filter((text) => text.startsWith('FAILED')),
    ...console.troubles.map((line) => `kernel: ${line.trim()}`),
    ...backend.output.filter((line) => /"level":[4-6]0/.test(line)),
  ];
}

/** A guest that came to its end has left QEMU, the daemon and the image in order. */
async function judgeEnd({ child, console }: Machine, backend: Backend, imagePath: string) {
  await within(child.exited, EXIT_LIMIT_MS);
  return [
    ...(child.isRunning() ? ['powered off, but never ended'] : []),
    ...(await stopAndJudge(backend)),
    ...checkImage(imagePath, collectFacts(console.guestLines)),
  ];
}

async function tell(run: () => Promise<void>): Promise<string[]> {
  try {
    await run();
    return [];
  } catch (error) {
    return [String(error)];
  }
}

export async function runLifecycle(): Promise<LifecycleOutcome> {
  const directory = mkdtempSync(join(tmpdir(), 'vt-life-'));
  const socketPath = join(directory, 'disk');
  const monitorPath = join(directory, 'qmp');
  const imagePath = join(directory, 'image');
  createSparseImage(imagePath);
  const disk = { kind: 'vhost-ts', socketPath, imagePath, numQueues: NUM_QUEUES } as const;
  const backend = await startBackend({ ...disk, logLevel: 'debug' });
  const machine = startGuest(socketPath, monitorPath);
  const requests = new Map<string, string[]>();
  try {
    const problems = await tell(async () => {
      const qmp = await Qmp.connect(monitorPath);
      try {
        await drive({ backend, machine, qmp, socketPath, requests });
      } finally {
        qmp.close();
      }
    });
    const output = backend.output.slice(-OUTPUT_TAIL_LINES);
    if (problems.length === 0) problems.push(...(await judgeEnd(machine, backend, imagePath)));
    problems.push(...judgeWords(machine, backend));
    const facts = collectFacts(machine.console.guestLines);
    return { problems, facts, requests, lines: machine.console.tail(TAIL_LINES), output };
  } finally {
    machine.child.kill();
    if (backend.isRunning()) await backend.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
