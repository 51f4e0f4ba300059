// The words of `--forward`, `--listen`, `--forward-listen` and `--guest`. What they may hold is the
// schema's to say; here only where one ends and the next begins.

import type { ForwardTarget, ListenAddress } from '../devices/vsock/options.js';
import { UserError } from './exit-codes.js';

const FORWARD = 'PORT=unix:PATH, PORT=tcp:HOST:PORT or PORT=exec:COMMAND';
const LISTEN = 'unix:PATH=GUESTPORT or tcp:ADDRESS:PORT=GUESTPORT';
const GUEST = 'SOCKET,cid=N, and if wanted group=NAME+NAME and uds-path=PATH';
const FORWARD_LISTEN = 'PORT, or several with + between them';

/** `2222=tcp:[::1]:22` */
export function parseForward(text: string): { port: number; to: ForwardTarget } {
  const words = /^(\d+)=(\w+):(.*)$/s.exec(text);
  const [, port, kind, rest = ''] = words ?? [];
  const to = kind === 'exec' ? { kind: 'exec' as const, command: rest } : parseAddress(kind, rest);
  if (port === undefined || to === undefined) {
    throw misread('--forward', text, FORWARD);
  }
  return { port: Number(port), to };
}

/** `tcp:127.0.0.1:8080=80` */
export function parseListen(text: string): { at: ListenAddress; guestPort: number } {
  const words = /^(\w+):(.*)=(\d+)$/s.exec(text);
  const [, kind, rest = '', guestPort] = words ?? [];
  const at = parseAddress(kind, rest);
  if (at === undefined) {
    throw misread('--listen', text, LISTEN);
  }
  // A machine may lack the name, but none means another place by it.
  const local = at.kind === 'tcp' && at.host === 'localhost' ? { ...at, host: '127.0.0.1' } : at;
  return { at: local, guestPort: Number(guestPort) };
}

export interface GuestWords {
  readonly socket: string;
  readonly cid: number;
  readonly groups: readonly string[];
  readonly udsPath: string | undefined;
}

/** `/run/a.sock,cid=3,group=a+b,uds-path=/run/a`: what comes before the first key is the path. */
export function parseGuest(text: string): GuestWords {
  const [socket = '', ...pairs] = text.split(/,(?=(?:cid|group|uds-path)=)/);
  const words = pairs.map((pair) => /^(cid|group|uds-path)=(.+)$/s.exec(pair));
  const values = new Map(words.map((word) => [word?.[1], word?.[2]]));
  const cid = values.get('cid') ?? '';
  const groups = values.get('group')?.split('+') ?? [];
  const wrong =
    socket === '' ||
    words.includes(null) ||
    values.size !== words.length ||
    !/^\d+$/.test(cid) ||
    groups.includes('');
  if (wrong) {
    throw misread('--guest', text, GUEST);
  }
  return { socket, cid: Number(cid), groups, udsPath: values.get('uds-path') };
}

/** `9001+9002` */
export function parsePorts(text: string): number[] {
  if (!/^\d+(\+\d+)*$/.test(text)) {
    throw misread('--forward-listen', text, FORWARD_LISTEN);
  }
  return text.split('+').map(Number);
}

function parseAddress(kind: string | undefined, rest: string): ListenAddress | undefined {
  if (kind === 'unix') {
    return { kind, path: rest };
  }
  const words = kind === 'tcp' ? /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(rest) : null;
  return words === null
    ? undefined
    : { kind: 'tcp', host: words[1] ?? words[2] ?? '', port: Number(words[3]) };
}

function misread(flag: string, text: string, expected: string): UserError {
  return new UserError('usage', `${flag} ${JSON.stringify(text)}: give ${expected}`);
}
