#!/usr/bin/env node
// Linux's own vsock test program, from Debian's kernel source: fetched, and built for a guest and for
// the host, where test/qemu/linux-vsock.test.ts finds it. Nothing else needs it, and the package has
// 139 MB: so it is no part of the set-up.
//
//   node scripts/linux-vsock-test.js [VERSION]     6.1, unless said otherwise
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT_DIR = dirname(dirname(fileURLToPath(import.meta.url)));
const VERSION = process.argv[2] ?? '6.1';
const SOURCE = `linux-source-${VERSION}`;
const TARGET_DIR = join(CHECKOUT_DIR, '.cache', 'guest', `vsock-test-${VERSION}`);
/** Before each source of the host's build but the control channel's, which is TCP. */
const OVER_UNIX = join(CHECKOUT_DIR, 'test', 'guest', 'vsock-over-unix.h');

function run(program, args, cwd) {
  const { status, error } = spawnSync(program, args, {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? `exit ${status}`}`);
}

/** Only the two directories the program is built from, without a copy of the rest. */
function unpack(dir) {
  run('apt-get', ['download', '-q', SOURCE], dir);
  const deb = readdirSync(dir).find((file) => file.endsWith('.deb'));
  const parts = ['tools/testing/vsock', 'tools/include'].map((part) => `${SOURCE}/${part}`);
  const pipe = [
    `dpkg-deb --fsys-tarfile '${deb}'`,
    `tar -xO ./usr/src/${SOURCE}.tar.xz`,
    'xz -dc -T0',
    `tar -x ${parts.join(' ')}`,
  ];
  run('bash', ['-c', `set -o pipefail; ${pipe.join(' | ')}`], dir);
  return join(dir, SOURCE, 'tools', 'testing', 'vsock');
}

/** What the Makefile there makes vsock_test of; the guest has no libraries for it. */
function build(source, name, control, flags) {
  const common = ['-O2', '-w', '-static', '-D_GNU_SOURCE', '-I.', '-I../../include'];
  const sources = readdirSync(source).filter(
    (file) =>
      file.endsWith('.c') &&
      !/^(control|vsock_perf|vsock_uring_test|vsock_diag_test)\.c$/.test(file),
  );
  run('gcc', [...common, '-c', '-o', control, 'control.c'], source);
  run('gcc', [...common, ...flags, '-o', join(source, name), ...sources, control], source);
  return join(source, name);
}

function main() {
  if (existsSync(TARGET_DIR)) {
    console.log(`${TARGET_DIR}: there already`);
    return;
  }
  const work = mkdtempSync(join(tmpdir(), 'vhost-ts-vsock-test-'));
  const partial = `${TARGET_DIR}.partial`;
  try {
    const source = unpack(work);
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial, { recursive: true });
    for (const [name, flags] of [
      ['vsock_test', []],
      ['vsock_test_over_unix', ['-include', OVER_UNIX]],
    ]) {
      run('cp', [build(source, name, 'control.o', flags), partial]);
    }
    renameSync(partial, TARGET_DIR);
    console.log(TARGET_DIR);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

main();
