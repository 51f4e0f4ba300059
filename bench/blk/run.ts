import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildLoadProgram } from '../common/load-program.js';
import { keepAwake, stop } from '../common/processes.js';
import { allCases } from './cases.js';
import { compareSides } from './comparison.js';
import { parseDaemonKind } from './daemon-command.js';
import { type Footprint, formatFootprint, measureIdle, measureStartup } from './footprint.js';
import { prepareDirectory, prepareImage } from './image.js';
import type { LoadSettings } from './load-generator.js';
import { type ParsedOptions, parseOptions, USAGE } from './options.js';
import { formatTable } from './report.js';
import type { DaemonEnvironment, Side } from './side.js';

/** From dist/bench/blk to the top of the checkout. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function makeSides(options: ParsedOptions, directory: string): [Side, Side] {
  const bin = join(ROOT, 'bin', 'vhost-ts.js');
  const side = (label: 'a' | 'b', text: string): Side => {
    const kind = parseDaemonKind(text, bin);
    if (kind.program === 'vhost-ts' && !existsSync(kind.binPath)) {
      throw new Error(`${kind.binPath} does not exist: build first, or choose --${label}`);
    }
    return { label, kind, imagePath: join(directory, `blk-${label}.img`), aio: options.aio };
  };
  return [side('a', options.a), side('b', options.b)];
}

async function measure(options: ParsedOptions, directory: string, socketDirectory: string) {
  const sides = makeSides(options, directory);
  const binary = join(ROOT, '.cache', 'bench', 'blk-load-generator');
  buildLoadProgram(join(ROOT, 'bench'), 'blk', binary);
  for (const { imagePath } of sides) {
    if (prepareImage(imagePath)) print(`# wrote a new image: ${imagePath}`);
  }

  const environment: DaemonEnvironment = { socketDirectory, cpu: options.pins?.daemon };
  const { seconds, directChains, rounds } = options;
  const load: LoadSettings = { binary, seconds, directChains, pinCpu: options.pins?.load };
  const awake = options.keepAwake && options.pins ? Object.values(options.pins).map(keepAwake) : [];
  const cases = allCases().filter(({ name }) => options.only.test(name));
  const { rows, stalls } = await compareSides(cases, { sides, environment, load, rounds, print });
  for (const child of awake) await stop(child);

  const footprints: Footprint[] = [];
  if (options.only.test('idle')) footprints.push(...(await measureIdle(sides, environment, load)));
  if (options.only.test('startup')) {
    footprints.push(...(await measureStartup(sides, environment, rounds)));
  }
  return { rows, stalls, footprints };
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  if (options.list)
    return print([...allCases().map(({ name }) => name), 'idle', 'startup'].join('\n'));
  const directory = options.directory ?? join(ROOT, '.cache', 'bench');
  prepareDirectory(directory);
  const socketDirectory = mkdtempSync(join(tmpdir(), 'vhost-ts-bench-'));
  process.on('exit', () => rmSync(socketDirectory, { recursive: true, force: true }));

  print(`# A = ${options.a}, B = ${options.b}, ${options.rounds} rounds of ${options.seconds} s`);
  const { rows, stalls, footprints } = await measure(options, directory, socketDirectory);
  if (rows.length > 0) print(`\n${formatTable(rows)}`);
  if (footprints.length > 0) print(`\n${footprints.map(formatFootprint).join('\n')}`);

  const machine = { cpu: cpus()[0]?.model, cpuCount: cpus().length, kernel: release() };
  const jsonPath = options.jsonPath ?? join(directory, 'blk.json');
  const result = {
    options: { ...options, only: options.only.source },
    machine,
    rows,
    stalls,
    footprints,
  };
  writeFileSync(jsonPath, `${JSON.stringify(result, null, 1)}\n`);
  print(`\nwritten: ${jsonPath}`);
  if (stalls.length > 0) {
    print(`${stalls.length} run(s) stalled and were repeated; see above`);
    process.exitCode = 1;
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`bench:blk: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
