// `npm run demo`: the main job on real input, told in plain words. A raw image, the daemon, a Linux
// guest that formats, fills, reboots and verifies its disk; without QEMU the embedded front-end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Backend } from '../test/guest/backend.js';
import { startBackend } from '../test/guest/backend.js';
import { DISK_LAYOUT } from '../test/guest/disk-layout.js';
import { runGuest } from '../test/guest/guest-run.js';
import { checkImage } from '../test/guest/image-check.js';
import { whyNoQemuGuest } from '../test/guest/kernels.js';

const SERIAL = 'DEMO-0001';
const QUEUES = 2;
const REBOOTS = 1;

/** What src/testing offers; named here so that the demo needs nothing of it when QEMU is there. */
interface EmbeddedDemo {
  runEmbeddedDemo(
    print: (line: string) => void,
    options: { socket: string; image: string },
  ): Promise<boolean>;
}

/** The guest script's lines in plain words; those not listed are left out. */
const PLAIN_WORDS: readonly (readonly [RegExp, string])[] = [
  [/^ok boot$/, 'the guest kernel is up and its drivers are loaded'],
  [/^fact serial (.*)$/, 'the guest reads the serial of its disk: $1'],
  [/^fact sectors (.*)$/, 'the disk has $1 sectors of 512 bytes'],
  [/^fact block-size (.*)$/, 'its blocks are $1 bytes'],
  [/^fact queues (.*)$/, 'the guest drives it through $1 queue(s)'],
  [/^stage format$/, 'the disk is empty: the guest sets it up'],
  [/^stage verify (\d+)$/, 'the guest is back after reboot $1 and finds its disk again'],
  [/^ok partition$/, 'it has made a partition'],
  [/^ok mkfs$/, 'it has made an ext4 file system'],
  [/^ok mount$/, 'it has mounted the file system'],
  [/^ok fill$/, 'it has written and synced files, and stored their checksums'],
  [/^ok checksums$/, 'it has read everything back from the disk: all checksums hold'],
  [/^ok small-synced-writes$/, 'it has made 20 small writes, each one synced'],
  [/^ok trim$/, 'it has discarded the free space (fstrim)'],
  [/^ok raw-area$/, 'it has discarded and zeroed raw ranges; what lies beside them is unharmed'],
  [/^ok unmount$/, 'it has unmounted the file system'],
  [/^ok fsck$/, 'it has checked the file system: clean'],
  [/^end reboot$/, 'it reboots; the daemon keeps running'],
  [/^end poweroff$/, 'it powers off'],
  [/^FAILED (.*)$/, 'FAILED in the guest: $1'],
];

const startedMs = performance.now();

function print(line: string): void {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
  process.stdout.write(`demo: ${seconds} s  ${line}\n`);
}

function printGuestLine(text: string): void {
  const row = PLAIN_WORDS.find(([pattern]) => pattern.test(text));
  if (row !== undefined) print(text.replace(row[0], row[1]));
}

async function stopBackend(backend: Backend): Promise<string[]> {
  const { code, signal, inTime } = await backend.stop();
  if (!inTime) return ['the daemon did not end at SIGTERM'];
  if (code !== 0) return [`the daemon ended with ${signal ?? `exit ${code}`} at SIGTERM`];
  print('the daemon has ended at SIGTERM with exit status 0');
  return [];
}

async function demonstrateWithQemu(socketPath: string, imagePath: string): Promise<string[]> {
  const backend = await startBackend({
    ...{ kind: 'vhost-ts', socketPath, imagePath, numQueues: QUEUES, serial: SERIAL },
    createSize: `${DISK_LAYOUT.sizeMib}M`,
  });
  print(`vhost-ts blk has created a raw image of ${DISK_LAYOUT.sizeMib} MiB and listens`);
  const outcome = await runGuest({
    ...{ machine: 'qemu', role: 'disk', backend, socketPath, numQueues: QUEUES, reboots: REBOOTS },
    onStart: (title) => print(`${title} starts a Linux guest with that disk`),
    onLine: ({ text }) => printGuestLine(text),
  });
  const problems = [...outcome.problems];
  if (outcome.facts.get('serial') !== SERIAL) problems.push(`the serial is not ${SERIAL}`);
  problems.push(...(await stopBackend(backend)));
  problems.push(...checkImage(imagePath, outcome.facts));
  if (problems.length === 0) {
    print('the host finds the file system in the image clean and the raw data in its place');
  } else {
    for (const line of [...outcome.tail, ...backend.output]) process.stdout.write(`  | ${line}\n`);
  }
  return problems;
}

async function demonstrateEmbedded(socket: string, image: string): Promise<string[]> {
  const path = new URL('../src/testing/index.js', import.meta.url).href;
  const { runEmbeddedDemo } = (await import(path)) as EmbeddedDemo;
  const worked = await runEmbeddedDemo(print, { socket, image });
  return worked ? [] : ['the embedded front-end found something wrong'];
}

async function demonstrate(): Promise<{ problems: string[]; how: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'vhost-ts-demo-'));
  const [socketPath, imagePath] = [join(dir, 'blk.sock'), join(dir, 'disk.img')];
  try {
    const reason = whyNoQemuGuest();
    if (reason === undefined) {
      return { problems: await demonstrateWithQemu(socketPath, imagePath), how: 'a Linux guest' };
    }
    print(`no QEMU guest here (${reason}): the embedded front-end plays the guest instead`);
    const problems = await demonstrateEmbedded(socketPath, imagePath);
    return { problems, how: 'the embedded front-end (no QEMU)' };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  let failure: string | undefined;
  let how = '';
  try {
    const result = await demonstrate();
    how = result.how;
    if (result.problems.length > 0) failure = result.problems.join('; ');
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(
    failure === undefined
      ? `demo: success: ${how} used the disk and found everything unharmed (${seconds} s)\n`
      : `demo: FAILED: ${failure}\n`,
  );
  process.exitCode = failure === undefined ? 0 : 1;
}

await main();
