// The guest tests as a table, shared by QEMU and User-mode Linux.
import type { BackendKind } from '../guest/backend.js';
import { backendKindFromEnvironment, STORAGE_DAEMON_SERIAL } from '../guest/backend.js';
import { DISK_LAYOUT, MIB } from '../guest/disk-layout.js';
import type { GuestOutcome, MachineKind } from '../guest/guest-run.js';
import type { Scenario, ScenarioOutcome } from '../guest/scenario.js';
import { runScenario } from '../guest/scenario.js';

const SECTOR_BYTES = 512;
const SERIAL = 'guest-test-01';
const PAUSE_MS = 2500;

export interface MatrixRow extends Omit<Scenario, 'machine' | 'kind' | 'serial'> {
  readonly title: string;
}

/** Every queue count with every block size. */
const WHOLE_MATRIX: readonly MatrixRow[] = [
  { numQueues: 1, blockSizeBytes: 512, reboots: 1, title: 'one reboot' },
  {
    ...{ numQueues: 1, blockSizeBytes: 4096, reboots: 1, thenReadOnly: true, client: true },
    title: 'QEMU listens, then read-only',
  },
  {
    ...{ numQueues: 4, blockSizeBytes: 512, reboots: 1, pauseMs: PAUSE_MS, packed: true },
    title: 'packed rings, daemon stopped',
  },
  { numQueues: 4, blockSizeBytes: 4096, reboots: 3, title: 'three reboots' },
];

/** The same special cases in fewer boots, each of which takes ten seconds of CPU. */
const QUICK_MATRIX: readonly MatrixRow[] = [
  {
    ...{ numQueues: 1, blockSizeBytes: 512, reboots: 1, thenReadOnly: true, client: true },
    title: 'QEMU listens, then read-only',
  },
  {
    ...{ numQueues: 4, blockSizeBytes: 4096, reboots: 3, pauseMs: PAUSE_MS, packed: true },
    title: 'packed rings, daemon stopped, three reboots',
  },
];

/** VHOST_TS_GUEST_MATRIX=whole: the long one. */
export const GUEST_MATRIX =
  process.env.VHOST_TS_GUEST_MATRIX === 'whole' ? WHOLE_MATRIX : QUICK_MATRIX;

/** The part of tap's `t` that is used here. */
export interface Assertions {
  same(found: unknown, wanted: unknown, message: string): unknown;
  comment(...text: string[]): void;
}

function expectedFacts(row: MatrixRow, machine: MachineKind, kind: BackendKind) {
  return {
    serial: kind === 'vhost-ts' ? SERIAL : STORAGE_DAEMON_SERIAL,
    sectors: `${(DISK_LAYOUT.sizeMib * MIB) / SECTOR_BYTES}`,
    'block-size': `${row.blockSizeBytes}`,
    // virtio_uml knows no F_MQ and takes one queue, however many there are.
    queues: machine === 'uml' ? '1' : `${row.numQueues}`,
    // virtio_uml takes every ring feature that is offered; qemu-storage-daemon has no packed rings.
    // It reports write through to a driver that never sets the mode.
    ...(kind === 'vhost-ts'
      ? { 'write-cache': 'write back', packed: row.packed || machine === 'uml' ? '1' : '0' }
      : {}),
  };
}

function factsOf(outcome: GuestOutcome, wanted: object): Record<string, string | undefined> {
  return Object.fromEntries(Object.keys(wanted).map((name) => [name, outcome.facts.get(name)]));
}

function explain(t: Assertions, outcome: ScenarioOutcome): void {
  const guest = outcome.readOnly ?? outcome.writable;
  t.comment(['last console lines:', ...guest.tail].join('\n'));
  t.comment(['daemon said:', ...outcome.backendOutput].join('\n'));
}

export function titleOf(row: MatrixRow): string {
  return `${row.numQueues} queue(s), ${row.blockSizeBytes} byte blocks, ${row.title}`;
}

export async function checkRow(t: Assertions, machine: MachineKind, row: MatrixRow): Promise<void> {
  const kind = backendKindFromEnvironment();
  const outcome = await runScenario({ ...row, machine, kind, serial: SERIAL });
  if (outcome.problems.length > 0) explain(t, outcome);
  t.same(outcome.problems, [], 'nothing went wrong');
  const wanted = { ...expectedFacts(row, machine, kind), 'read-only': '0' };
  t.same(factsOf(outcome.writable, wanted), wanted, 'the guest sees the disk as configured');
  if (row.thenReadOnly && outcome.readOnly !== undefined) {
    const wantedReadOnly = { ...wanted, 'read-only': '1' };
    t.same(factsOf(outcome.readOnly, wanted), wantedReadOnly, 'and sees that it is read-only');
  }
}
