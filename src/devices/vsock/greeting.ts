// The line a host program says first on the hybrid socket: `CONNECT <port>\n`, as Firecracker has
// it. Pure: bytes in, port out.

import { PORT_ANY } from './format.js';

/** 'CONNECT 4294967295\r\n' is 20 bytes; whoever needs more says something else. */
export const GREETING_BYTES_MAX = 32;

const NEWLINE = 0x0a;

export type Greeting =
  /** No line yet. */
  | { readonly kind: 'more' }
  | { readonly kind: 'bad' }
  /** lengthBytes: the line with its end; what follows belongs to the guest. */
  | { readonly kind: 'connect'; readonly port: number; readonly lengthBytes: number };

export function parseGreeting(bytes: Uint8Array): Greeting {
  const end = bytes.subarray(0, GREETING_BYTES_MAX).indexOf(NEWLINE);
  if (end < 0) {
    return { kind: bytes.byteLength >= GREETING_BYTES_MAX ? 'bad' : 'more' };
  }
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1');
  const match = /^connect (\d{1,10})\r?$/i.exec(line);
  const port = Number(match?.[1]);
  return match !== null && port < PORT_ANY
    ? { kind: 'connect', port, lengthBytes: end + 1 }
    : { kind: 'bad' };
}

export function greetingAnswer(hostPort: number): Uint8Array {
  return Buffer.from(`OK ${hostPort}\n`, 'latin1');
}
