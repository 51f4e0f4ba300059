import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startUml, VIRTIO_ID_VSOCK } from '../../test/guest/uml.js';
import { cpuMs, start, stop, untilListening } from '../common/processes.js';
import type { BenchCase } from './cases.js';
import type { Sample } from './report.js';
import type { Environment } from './side.js';

/** Of the host's: what each work of the guest's program talks to. */
const FAR_ENDS = {
  give: { port: 1, command: 'exec cat >/dev/null' },
  take: { port: 2, command: 'exec cat /dev/zero' },
  ping: { port: 3, command: 'exec cat' },
} as const;
const GUEST_CID = 42;
const BOOT_LIMIT_MS = 60_000;
const GIB = 2 ** 30;

export type GuestWork = keyof typeof FAR_ENDS;

/** What `vsock-peer` of the guest's says. */
interface Said {
  readonly seconds: number;
  /** Streams. */
  readonly bytes?: number;
  /** Round trips. */
  readonly p50Us?: number;
  readonly p99Us?: number;
}

/** A guest's figures in the words of the other cases. */
export function sampleOf({ seconds, bytes, p50Us, p99Us }: Said, daemonCpuMs: number): Sample {
  if (bytes === undefined) {
    return { p50Us: p50Us ?? Number.NaN, p99Us: p99Us ?? Number.NaN };
  }
  return {
    gbps: (bytes * 8) / 1e9 / seconds,
    cpuSecondsPerGib: daemonCpuMs / 1000 / (bytes / GIB),
  };
}

/** A real driver: one boot of User-mode Linux, whose program measures by its own clock. Daemon, guest
 *  and the program at the far end share the CPUs as they please. */
export async function measureGuest(
  { name, flags }: BenchCase,
  { directory: parent, vhostTs, seconds }: Environment,
): Promise<Sample> {
  const directory = mkdtempSync(join(parent, 'guest-'));
  const socketPath = join(directory, 's');
  const work = flags.work as GuestWork;
  const { port, command } = FAR_ENDS[work];
  const args = [vhostTs, 'vsock', '--socket', socketPath, '--guest-cid', `${GUEST_CID}`];
  const forward = ['--forward', `${port}=exec:${command}`, '--log-level', 'warn'];
  const daemon = start({ command: process.execPath, args: [...args, ...forward] });
  try {
    await untilListening(daemon, socketPath);
    const ms = Math.ceil(1000 * seconds);
    const parameters = { vt_role: 'vsock-bench', vt_work: work, vt_port: port, vt_ms: ms };
    const { console, child } = startUml({ socketPath, virtioId: VIRTIO_ID_VSOCK, parameters });
    try {
      let beforeMs = 0;
      console.onGuestLine(({ text }) => {
        if (text === 'mark begins') beforeMs = cpuMs(daemon.pid);
      });
      const measured = await console.waitFor('mark measured', BOOT_LIMIT_MS + ms);
      const cpuUsedMs = cpuMs(daemon.pid) - beforeMs;
      const fact = console.guestLines.find(({ text }) => text.startsWith('fact sample '));
      if (!measured || fact === undefined) {
        throw new Error(`${name}: ${console.tail(20).join('\n')}`);
      }
      return sampleOf(JSON.parse(fact.text.slice('fact sample '.length)) as Said, cpuUsedMs);
    } finally {
      child.kill();
      await child.exited;
    }
  } finally {
    await stop(daemon);
    rmSync(directory, { recursive: true, force: true });
  }
}
