import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The newest change of any C++ file in these directories, in ms. */
function newestMs(directories: readonly string[]): number {
  const files = directories.flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => /\.(cc|h)$/.test(name))
      .map((name) => join(directory, name)),
  );
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

/** Compiles bench/NAME/load-generator.cc, unless `binary` is newer than it and all it may include. */
export function buildLoadProgram(benchDirectory: string, name: string, binary: string): void {
  const own = join(benchDirectory, name);
  const newest = newestMs([own, join(benchDirectory, 'common')]);
  if ((statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest) return;
  mkdirSync(dirname(binary), { recursive: true });
  const flags = ['-O2', '-std=c++20', '-Wall', '-Wextra', '-pthread'];
  const source = join(own, 'load-generator.cc');
  execFileSync('g++', [...flags, source, '-o', binary], { stdio: 'inherit' });
}

/** `{ depth: 8 }` as `--depth 8`; what is undefined is left out. */
export function loadFlags(values: Readonly<Record<string, string | number | undefined>>): string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
}

/** Runs a load generator to its end; the JSON it prints. `what` names the run in errors. */
export async function runLoadProgram(
  what: string,
  binary: string,
  args: readonly string[],
): Promise<unknown> {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  process.off('exit', kill);
  if (code !== 0) throw new Error(`${what}: ${stderr.trim() || `exit ${code}`}`);
  return JSON.parse(stdout);
}
