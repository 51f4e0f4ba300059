// What of native/core was run, from the profiles that programs compiled by clang with
// -fprofile-instr-generate leave behind: a line for each file, and the sums.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from './native-build.js';

const PROFILES = join(root, '.cache/native-test/profiles');
const MERGED = join(PROFILES, 'merged.profdata');
const CORE = join(root, 'native/core/');
// What issue 4 promises. An error of the kernel's that no test can bring about is the rest.
const PERCENT_MIN = { lines: 95, branches: 85 };

const llvm = (tool, args) => execFileSync(tool, args, { cwd: root, maxBuffer: 1 << 28 });

/** The environment in which programs write their profiles. Forgets those of a former run. */
export function profilingEnvironment() {
  rmSync(PROFILES, { recursive: true, force: true });
  mkdirSync(PROFILES, { recursive: true });
  return { LLVM_PROFILE_FILE: join(PROFILES, '%p.profraw') };
}

const percent = ({ count, percent: value }) => (count === 0 ? '-' : `${value.toFixed(1)} %`);

const row = (name, { lines, branches }) => `| ${name} | ${percent(lines)} | ${percent(branches)} |`;

/** Prints what `programs` ran of the core. True when it is as much as promised. */
export function reportCoverage(programs) {
  const raw = readdirSync(PROFILES).map((name) => join(PROFILES, name));
  llvm('llvm-profdata', ['merge', '-sparse', '-o', MERGED, ...raw]);
  const [first, ...others] = programs;
  const objects = others.flatMap((program) => ['-object', program]);
  const common = [first, ...objects, `-instr-profile=${MERGED}`];
  const ignored = ['-ignore-filename-regex=/native/(test|fuzz)/|^/usr/'];
  const exported = llvm('llvm-cov', ['export', '-summary-only', ...ignored, ...common]);
  const { files, totals } = JSON.parse(exported).data[0];
  console.log('| file | lines | branches |\n| --- | --- | --- |');
  for (const { filename, summary } of files) {
    if (filename.startsWith(CORE)) console.log(row(basename(filename), summary));
  }
  console.log(row('all of native/core', totals));
  return Object.entries(PERCENT_MIN).every(([what, least]) => totals[what].percent >= least);
}
