// Real taps for tests, in a network namespace's worth of care: names of our own, removed at the end.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
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
