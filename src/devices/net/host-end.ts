// What the control half hands to the workers about the host's end: descriptors it opened, names.

import { DatagramPort } from './ports/datagram-port.js';
import { NullPort } from './ports/null-port.js';
import type { Port, PortContext } from './ports/port.js';
import { StreamPort } from './ports/stream-port.js';
import { TapPort } from './ports/tap-port.js';

/** Plain data: it crosses threads. Descriptors stay the control half's. */
export type HostEnd =
  | { readonly kind: 'null' }
  | {
      readonly kind: 'tap';
      /** One for each queue pair. */
      readonly fds: readonly number[];
      readonly name?: string | undefined;
      /** It outlives us. */
      readonly persistent?: boolean;
    }
  | { readonly kind: 'stream'; readonly path: string; readonly listenFd?: number }
  | { readonly kind: 'datagram'; readonly fd: number; readonly remote: string };

export function createPort(host: HostEnd, pair: number, options: PortContext): Port {
  switch (host.kind) {
    case 'null':
      return new NullPort(options);
    case 'stream':
      return new StreamPort(options, host);
    case 'datagram':
      return new DatagramPort(options, host);
    case 'tap': {
      const { fds, name, persistent = false } = host;
      const multiQueue = fds.length > 1;
      return new TapPort(options, { fd: fds[pair] as number, name, persistent, multiQueue });
    }
  }
}

/** One input for all queue pairs, which are in one worker then. */
export function hasOneInput({ kind }: HostEnd): boolean {
  return kind === 'stream' || kind === 'datagram';
}

/** What a port of this kind takes of an arena. */
export function portArenaBytes(host: HostEnd, queueSize: number): number {
  const { tap, stream } = { tap: TapPort.arenaBytes(queueSize), stream: StreamPort.arenaBytes };
  return { null: 0, datagram: 0, tap, stream }[host.kind];
}
