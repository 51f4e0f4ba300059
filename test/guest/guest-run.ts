// One guest from power-on to power-off, reboots included, and what the host makes of its lines.
import type { Backend } from './backend.js';
import { delay, within } from './children.js';
import type { GuestLine, Machine } from './console.js';
import { DISK_LAYOUT } from './disk-layout.js';
import { chooseAccelerator, startQemu } from './qemu.js';
import { startUml } from './uml.js';

export type MachineKind = 'qemu' | 'uml';

export interface GuestRunOptions {
  readonly machine: MachineKind;
  readonly backend: Backend;
  readonly socketPath: string;
  readonly numQueues: number;
  /** QEMU listens on the socket and the daemon connects; User-mode Linux can't. */
  readonly client?: boolean;
  /** Packed virtqueues; QEMU only: User-mode Linux always takes them. */
  readonly packed?: boolean;
  readonly role: 'disk' | 'readonly';
  /** How often the guest starts again after formatting; each time it verifies everything. */
  readonly reboots?: number;
  /** Stops the daemon (SIGSTOP) for so long in the middle of the guest's writes. */
  readonly pauseMs?: number;
  readonly iommu?: boolean;
  readonly onLine?: (line: GuestLine) => void;
  /** Told once, before the first line: what runs the guest. */
  readonly onStart?: (title: string) => void;
}

export interface GuestOutcome {
  /** Empty when all went well. */
  readonly problems: readonly string[];
  /** The last value of each fact the guest told. */
  readonly facts: ReadonlyMap<string, string>;
  readonly lines: readonly GuestLine[];
  readonly seconds: number;
  readonly tail: readonly string[];
}

// One boot with its work takes 5 to 10 s under TCG on two idle cores; leave room for busy ones.
const BOOT_LIMIT_MS = 90_000;
// From the guest's last line to the end of the process.
const EXIT_LIMIT_MS = 20_000;
const KILL_WAIT_MS = 2000;
const TAIL_LINES = 40;
// Lets the first writes get under way.
const PAUSE_AFTER_MS = 150;

async function startMachine(options: GuestRunOptions): Promise<Machine> {
  const { socketPath, numQueues, role, reboots = 0, machine, iommu = false } = options;
  const parameters = {
    vt_role: role,
    vt_boots: reboots,
    vt_fill_mib: DISK_LAYOUT.fillMib,
    vt_part_mib: DISK_LAYOUT.partitionMib,
    vt_raw_mib: DISK_LAYOUT.rawStartMib,
    // virtio_uml has no reset of the machine that keeps the daemon's connection: start it again.
    vt_end: machine === 'uml' ? 'poweroff' : 'reboot',
  };
  if (machine === 'uml') return startUml({ socketPath, parameters });
  const accelerator = await chooseAccelerator();
  const { packed = false, client: listens = false } = options;
  return startQemu({ socketPath, numQueues, packed, listens, parameters, accelerator, iommu });
}

async function pauseBackend(
  { backend, pauseMs = 0 }: GuestRunOptions,
  { console }: Machine,
  problems: string[],
): Promise<void> {
  await delay(PAUSE_AFTER_MS);
  backend.signal('SIGSTOP');
  await delay(pauseMs);
  if (console.guestLines.some((line) => line.text === 'ok fill')) {
    problems.push('the daemon was stopped too late: the guest had written everything');
  }
  backend.signal('SIGCONT');
}

/** Watches one process of the guest until it ends, gets into trouble or runs out of time. */
async function watch(
  machine: Machine,
  options: GuestRunOptions,
  boots: number,
  problems: string[],
): Promise<void> {
  let pause = Promise.resolve();
  machine.console.onGuestLine((line) => {
    options.onLine?.(line);
    if (line.text === 'mark io' && options.pauseMs !== undefined) {
      pause = pauseBackend(options, machine, problems);
    }
  });
  const limitMs = boots * BOOT_LIMIT_MS + (options.pauseMs ?? 0);
  const ended = machine.child.exited;
  const poweredOff = machine.console.waitFor('end poweroff', limitMs);
  const first = await within(
    Promise.race([
      ended.then(() => 'ended'),
      machine.console.troubled().then(() => 'trouble'),
      options.backend.exited.then(() => 'trouble'),
      poweredOff.then((said) => (said ? 'ended' : 'late')),
    ]),
    limitMs,
  );
  if (first !== 'trouble' && first !== 'ended') problems.push(`not done after ${limitMs} ms`);
  const exit = first === 'ended' ? await within(ended, EXIT_LIMIT_MS) : undefined;
  if (first === 'ended' && exit === undefined) problems.push('powered off, but never ended');
  if (exit !== undefined && exit.code !== 0) {
    problems.push(`${machine.title} ended with ${exit.signal ?? `exit ${exit.code}`}`);
  }
  machine.child.kill();
  await within(ended, KILL_WAIT_MS);
  await pause;
}

/** Every stage must come once and in order: a disk that forgot everything is formatted twice. */
function expectedStages({ role, reboots = 0 }: GuestRunOptions): string[] {
  if (role === 'readonly') return ['readonly'];
  return ['format', ...Array.from({ length: reboots }, (_, index) => `verify ${index + 1}`)];
}

function saysFailed({ text }: GuestLine): boolean {
  return text.startsWith('FAILED');
}

function judgeLines(lines: readonly GuestLine[], expected: readonly string[]): string[] {
  const texts = lines.map((line) => line.text);
  const problems = lines.filter(saysFailed).map((line) => line.text);
  const stages = texts.filter((text) => text.startsWith('stage ')).map((text) => text.slice(6));
  if (stages.join() !== expected.join()) {
    problems.push(`stages were [${stages.join(', ')}], not [${expected.join(', ')}]`);
  }
  const ends = texts.filter((text) => text.startsWith('end ')).length;
  if (ends !== expected.length) problems.push(`${ends} of ${expected.length} boots came to an end`);
  return problems;
}

export function collectFacts(lines: readonly GuestLine[]): Map<string, string> {
  const facts = new Map<string, string>();
  for (const { text } of lines) {
    const [, name, value] = /^fact (\S+) ?(.*)$/.exec(text) ?? [];
    if (name !== undefined && value !== undefined) facts.set(name, value.trim());
  }
  return facts;
}

export async function runGuest(options: GuestRunOptions): Promise<GuestOutcome> {
  const startedMs = performance.now();
  const expected = expectedStages(options);
  const processes = options.machine === 'uml' ? expected.length : 1;
  const problems: string[] = [];
  const lines: GuestLine[] = [];
  let tail: string[] = [];
  for (let count = 0; count < processes && problems.length === 0; count += 1) {
    const earlierMs = performance.now() - startedMs;
    const machine = await startMachine(options);
    if (count === 0) options.onStart?.(machine.title);
    await watch(machine, options, expected.length / processes, problems);
    for (const { text, atMs } of machine.console.guestLines) {
      lines.push({ text, atMs: atMs + earlierMs });
    }
    problems.push(...machine.console.troubles.map((line) => `kernel: ${line.trim()}`));
    if (!options.backend.isRunning()) problems.push('the daemon has died');
    tail = machine.console.tail(TAIL_LINES);
    if (lines.some(saysFailed)) break;
  }
  problems.push(...judgeLines(lines, expected));
  const seconds = (performance.now() - startedMs) / 1000;
  return { problems, facts: collectFacts(lines), lines, seconds, tail };
}
