// Real taps for tests, in a network namespace's worth of care: names of our own, removed at the end.

import { spawnSync } from 'node:child_process';
import { existsSync, readSync, writeSync } from 'node:fs';
import type { Test } from 'tap';
import { native } from '../../src/native/index.js';

let made = 0;

/** Why no tap can be made here; undefined when one can. */
export function whyNoTap(): string | undefined {
  if (!existsSync('/dev/net/tun')) {
    return 'no /dev/net/tun';
  }
  const fd = native.tapOpen(`vht${process.pid % 100_000}`, false, 12);
  if (fd < 0) {
    return `no tap: errno ${-fd}`;
  }
  native.fdClose(fd);
  return spawnSync('ip', ['-V']).error === undefined ? undefined : 'no ip(8)';
}

/** A name nobody has, of the 15 bytes there are. */
export function tapName(): string {
  made++;
  return `vht${process.pid % 100_000}x${made}`;
}

export function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  }
}

/** A persistent tap, up, that stays silent by itself: no IPv6, no ARP of its own. */
export function makeTap(t: Test, queues = 1): string {
  const name = tapName();
  const many = queues > 1 ? ['multi_queue'] : [];
  ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'vnet_hdr', ...many);
  t.teardown(() => void spawnSync('ip', ['link', 'del', name]));
  quiet(name);
  return name;
}

export function quiet(name: string): void {
  spawnSync('sysctl', ['-q', '-w', `net.ipv6.conf.${name}.disable_ipv6=1`]);
  ip('link', 'set', name, 'up');
}

const HEADER_BYTES = 12;
const READ_BYTES_MAX = 70_000;
const WAIT_STEP_MS = 2;
const WAIT_LIMIT_MS = 5000;

export interface WireFrame {
  readonly header: Uint8Array;
  readonly frame: Uint8Array;
}

/** A bridge of the host with two taps: one for the card under test, the other's end in our hands. */
export class Wire {
  readonly tap: string;
  readonly #fd: number;

  constructor(t: Test, queues = 1) {
    this.tap = makeTap(t, queues);
    const far = makeTap(t);
    const bridge = `${far}b`;
    ip('link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0');
    t.teardown(() => void spawnSync('ip', ['link', 'del', bridge]));
    for (const name of [this.tap, far]) {
      ip('link', 'set', name, 'mtu', '9000', 'master', bridge);
    }
    quiet(bridge);
    this.#fd = native.tapOpen(far, false, HEADER_BYTES);
    t.teardown(() => void native.fdClose(this.#fd));
  }

  /** Lets the far end have large frames and partial checksums (TUN_F_*). */
  setOffload(bits: number): void {
    native.tapSetOffload(this.#fd, bits);
  }

  send(frame: Uint8Array, header = new Uint8Array(HEADER_BYTES)): void {
    writeSync(this.#fd, Buffer.concat([header, frame]));
  }

  /** The next frame of ours: the host's own are passed over. Undefined after five seconds. */
  async receive(limitMs = WAIT_LIMIT_MS): Promise<WireFrame | undefined> {
    const buffer = new Uint8Array(READ_BYTES_MAX);
    const endMs = performance.now() + limitMs;
    while (performance.now() < endMs) {
      const bytes = readOrNone(this.#fd, buffer);
      if (bytes === 0) {
        await new Promise((resolve) => setTimeout(resolve, WAIT_STEP_MS));
      } else if (isOurs(buffer)) {
        return {
          header: buffer.slice(0, HEADER_BYTES),
          frame: buffer.slice(HEADER_BYTES, bytes),
        };
      }
    }
    return undefined;
  }
}

/** By the sender's address, which the test frames and cards have in common. */
function isOurs(bytes: Uint8Array): boolean {
  const [a, b, c] = bytes.subarray(HEADER_BYTES + 6);
  return a === 0x52 && b === 0x54 && c === 0x00;
}

function readOrNone(fd: number, buffer: Uint8Array): number {
  try {
    return readSync(fd, buffer);
  } catch {
    return 0;
  }
}
