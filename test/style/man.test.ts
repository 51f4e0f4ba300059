// Manuals, and the synopses of the README, say what the commands know: every flag, no flag there is
// not, every exit code.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EXIT_CODES } from '../../src/cli/exit-codes.js';
import Blk from '../../src/commands/blk.js';
import Net from '../../src/commands/net.js';
import Run from '../../src/commands/run.js';
import Vsock from '../../src/commands/vsock.js';
import { ROOT } from '../cli/command.js';

interface FlagLike {
  readonly aliases?: readonly string[];
}

/** oclif's own, known to every command. */
const EVERYWHERE = ['help', 'version'];

const PAGES: readonly (readonly [string, Readonly<Record<string, FlagLike>>])[] = [
  // It mentions --once, --socket, … of the devices, so those are no strangers to it.
  ['vhost-ts.1', {}],
  ['vhost-ts-blk.1', Blk.flags],
  ['vhost-ts-net.1', Net.flags],
  ['vhost-ts-run.1', Run.flags],
  ['vhost-ts-vsock.1', Vsock.flags],
];

const flagsOf = (flags: Readonly<Record<string, FlagLike>>) =>
  Object.entries(flags).flatMap(([name, { aliases }]) => [name, ...(aliases ?? [])]);

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');

for (const [name, flags] of [
  ['blk', Blk.flags],
  ['net', Net.flags],
  ['vsock', Vsock.flags],
] as const) {
  t.test(`README: synopsis of ${name}`, async (t) => {
    // The first block of its section.
    const synopsis = readme.split(`\n## \`vhost-ts ${name}\`\n\n`)[1]?.split('\n\n')[0] ?? '';
    const said = new Set([...synopsis.matchAll(/--([a-z][\w-]*)/g)].map((m) => m[1]));
    t.strictSame([...said].sort(), [...Object.keys(flags), ...EVERYWHERE].sort());
  });
}

for (const [page, flags] of PAGES) {
  const path = join(ROOT, 'man', page);
  const text = readFileSync(path, 'utf8');

  t.test(`${page}: flags`, async (t) => {
    const known = new Set([...flagsOf(flags), ...EVERYWHERE]);
    // A flag is described where a list item begins with it.
    const items = text.split('\n').filter((line) => line.startsWith('.It Fl'));
    const described = items.flatMap((line) => [...line.matchAll(/Fl -([\w-]+)/g)].map((m) => m[1]));
    t.strictSame([...described].sort(), [...known].sort());
    const possible = new Set([
      ...known,
      ...[Blk, Net, Run, Vsock].flatMap(({ flags }) => flagsOf(flags)),
    ]);
    for (const [, name] of text.matchAll(/(?:Fl -| --)([a-z][\w-]*)/g)) {
      t.ok(possible.has(name as string), `--${name} exists`);
    }
  });

  t.test(`${page}: exit codes`, async (t) => {
    const section = /\.Sh EXIT STATUS\n(.*?)\n\.Sh/s.exec(text)?.[1] ?? '';
    const codes = [...section.matchAll(/^\.It (\d+)$/gm)].map((m) => Number(m[1]));
    t.strictSame(codes, Object.values(EXIT_CODES));
  });

  for (const [program, words] of [
    ['groff', ['-mdoc', '-ww', '-Tutf8']],
    ['mandoc', ['-Tlint', '-Wwarning']],
  ] as const) {
    const { error, status, stdout, stderr } = spawnSync(program, [...words, path], {
      encoding: 'utf8',
    });
    if (error !== undefined) {
      t.pass(`${page}: ${program}`, { skip: `${program} is not installed` });
      continue;
    }
    t.equal(stderr, '', `${page}: ${program} is silent`);
    t.equal(program === 'mandoc' ? stdout : '', '', `${page}: ${program} finds nothing`);
    t.equal(status, 0, `${page}: ${program}`);
  }
}
