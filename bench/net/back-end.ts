// The two kinds of back-end that are compared, with the sockets their front-ends connect to.

import { join } from 'node:path';
import { cpuMs, pinned, start, stop, untilListening } from '../common/processes.js';
import type { Way } from './cases.js';
import { netVhost, Testpmd } from './testpmd.js';

export interface BackEnd {
  readonly sockets: readonly string[];
  readonly pid: number;
  /** CPU time of all its threads so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export interface BackEndPlace {
  readonly directory: string;
  readonly cpu: number;
  /** Of whoever only waits for commands. */
  readonly otherCpu: number;
}

export type BackEndKind = 'vhost-ts' | 'net_vhost';

let made = 0;

function socketPaths(way: Way, directory: string): string[] {
  made++;
  const names = way === 'null' ? ['a'] : ['a', 'b'];
  return names.map((name) => join(directory, `${name}${made}`));
}

/** `binPath`: of vhost-ts. */
export async function startVhostTs(
  binPath: string,
  way: Way,
  { directory, cpu }: BackEndPlace,
): Promise<BackEnd> {
  const sockets = socketPaths(way, directory);
  const ends = way === 'null' ? ['--null'] : ['--switch', 'bench'];
  const flags = sockets.flatMap((socket) => ['--socket', socket]);
  const line = { command: process.execPath, args: [binPath, 'net', ...flags, ...ends] };
  const child = start(pinned(line, cpu));
  for (const socket of sockets) await untilListening(child, socket);
  return {
    sockets,
    pid: child.pid,
    cpuMs: () => cpuMs(child.pid),
    stop: () => stop(child),
  };
}

/** DPDK's, forwarding: into nothing, or from one port to the other. */
export async function startNetVhost(way: Way, place: BackEndPlace): Promise<BackEnd> {
  const sockets = socketPaths(way, place.directory);
  const testpmd = await Testpmd.start({
    devices: sockets.map(netVhost),
    cpus: [place.otherCpu, place.cpu],
  });
  await testpmd.forward(way === 'null' ? 'rxonly' : 'io');
  return {
    sockets,
    pid: testpmd.pid,
    cpuMs: () => cpuMs(testpmd.pid),
    stop: () => testpmd.quit(),
  };
}
