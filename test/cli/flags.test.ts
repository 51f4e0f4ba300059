// What a start loads: the parts of oclif that find plugins and render help are not in the bundle.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Flags } from '../../src/cli/flags.js';
import { ROOT } from './command.js';

/** Marks esbuild leaves where a file of a package begins. */
const ABSENT = [
  '/debug/src/',
  '/tinyglobby/',
  '/minimatch/',
  '/core/lib/help/index.js',
  '/locales/de',
];
const PRESENT = ['/core/lib/command.js', '/core/lib/parser/parse.js', '/zod/v4/core/', '/pino/'];

const bundle = join(ROOT, 'dist/bundle');
const text = readdirSync(bundle)
  .filter((name) => name.endsWith('.js'))
  .map((name) => readFileSync(join(bundle, name), 'utf8'))
  .join('\n');
const marks = text.split('\n').filter((line) => line.startsWith('// '));

for (const part of PRESENT) {
  t.ok(
    marks.some((line) => line.includes(part)),
    `${part} is bundled`,
  );
}
for (const part of ABSENT) {
  t.notOk(
    marks.some((line) => line.includes(part)),
    `${part} is not`,
  );
}

t.test('these are the flags of oclif', async (t) => {
  const integer = Flags.integer({ min: 1 });
  t.match(integer, { type: 'option' });
});
