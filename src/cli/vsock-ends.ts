// The words of `--forward`, `--listen`, `--forward-listen` and `--guest`. What they may hold is the
// schema's to say; here only where one ends and the next begins.

import type { ForwardTarget, ListenAddress } from '../devices/vsock/options.js';
import { UserError } from './exit-codes.js';

const FORWARD = '[CID:]PORT=unix:PATH, [CID:]PORT=tcp:HOST:PORT or [CID:]PORT=exec:COMMAND';
const LISTEN = 'unix:PATH=[CID:]GUESTPORT or tcp:ADDRESS:PORT=[CID:]GUESTPORT';
const GUEST = 'SOCKET,cid=N, and if wanted group=NAME+NAME and uds-path=PATH';
const FORWARD_LISTEN = '[CID:]PORT, or several with + between them';

/** Of several guests, the one that is meant; without, all of them. */
interface OfGuest {
  readonly cid: number | undefined;
}

/** `2222=tcp:[::1]:22`, or `3:2222=tcp:[::1]:22` of the guest with CID 3 */
export function parseForward(text: string): OfGuest & { port: number; to: ForwardTarget } {
  const words = /^(?:(\d+):)?(\d+)=(\w+):(.*)$/s.exec(text);
  const [, cid, port, kind, rest = ''] = words ?? [];
  const to = kind === 'exec' ? { kind: 'exec' as const, command: rest } : parseAddress(kind, rest);
  if (port === undefined || to === undefined) {
    throw misread('--forward', text, FORWARD);
  }
  return { cid: number(cid), port: Number(port), to };
}

/** `tcp:127.0.0.1:8080=80`, or `tcp:127.0.0.1:8080=3:80` */
export function parseListen(text: string): OfGuest & { at: ListenAddress; guestPort: number } {
  const words = /^(\w+):(.*)=(?:(\d+):)?(\d+)$/s.exec(text);
  const [, kind, rest = '', cid, guestPort] = words ?? [];
  const at = parseAddress(kind, rest);
  if (at === undefined) {
    throw misread('--listen', text, LISTEN);
  }
  // A machine may lack the name, but none means another place by it.
  const local = at.kind === 'tcp' && at.host === 'localhost' ? { ...at, host: '127.0.0.1' } : at;
  return { cid: number(cid), at: local, guestPort: Number(guestPort) };
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

/** `9001+9002`, or `3:9001+4:9002` */
export function parsePorts(text: string): (OfGuest & { port: number })[] {
  return text.split('+').map((part) => {
    const [, cid, port] = /^(?:(\d+):)?(\d+)$/.exec(part) ?? [];
    if (port === undefined) {
      throw misread('--forward-listen', text, FORWARD_LISTEN);
    }
    return { cid: number(cid), port: Number(port) };
  });
}

function number(figures: string | undefined): number | undefined {
  return figures === undefined ? undefined : Number(figures);
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
