import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { whyNoUmlGuest } from '../../test/guest/kernels.js';
import { buildLoadProgram } from '../common/load-program.js';
import { keepAwake, stop } from '../common/processes.js';
import { allCases, type BenchCase } from './cases.js';
import { measureGuest } from './guest-side.js';
import { parseOptions, type RunOptions, USAGE } from './options.js';
import { type CaseRow, caseRow, formatRow, type Sample } from './report.js';
import { type Environment, measureSide, type SideName } from './side.js';

/** From dist/bench/vsock to the top of the checkout. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** The device and its peers, next to each other in every round; who goes first alternates. */
async function measureCase(
  benchCase: BenchCase,
  rounds: number,
  environment: Environment,
): Promise<CaseRow> {
  const sides: SideName[] = ['vsock', ...benchCase.peers];
  const samples = new Map<SideName, Sample[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const measure = benchCase.work === 'guest' ? measureGuest : measureSide;
      samples.get(side)?.push(await measure(benchCase, environment, side));
    }
  }
  return caseRow(benchCase, samples);
}

function withoutSocat(benchCase: BenchCase): BenchCase {
  return { ...benchCase, peers: benchCase.peers.filter((peer) => !peer.startsWith('socat')) };
}

function chosenCases(only: RegExp): BenchCase[] {
  const noGuest = whyNoUmlGuest();
  const cases = allCases()
    .filter(({ name }) => only.test(name))
    .filter(({ work }) => work !== 'guest' || noGuest === undefined);
  if (noGuest !== undefined) print(`# ${noGuest}: measured without a guest`);
  if (spawnSync('socat', ['-V']).status === 0) {
    return cases;
  }
  print('# socat is not installed (Debian: socat): measured without it');
  return cases.map(withoutSocat);
}

async function measure(options: RunOptions, directory: string): Promise<CaseRow[]> {
  const loadBinary = join(ROOT, '.cache', 'bench', 'vsock-load-generator');
  buildLoadProgram(join(ROOT, 'bench'), 'vsock', loadBinary);
  const vhostTs = options.bin ?? join(ROOT, 'bin', 'vhost-ts.js');
  if (!existsSync(vhostTs)) throw new Error(`${vhostTs} does not exist`);
  const { seconds, pins, rounds } = options;
  const environment = { directory, loadBinary, vhostTs, seconds, pins };
  const awake = options.keepAwake && pins ? Object.values(pins).map(keepAwake) : [];
  const rows: CaseRow[] = [];
  for (const benchCase of chosenCases(options.only)) {
    const row = await measureCase(benchCase, rounds, environment);
    print(formatRow(row));
    rows.push(row);
  }
  for (const child of awake) await stop(child);
  return rows;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  if (options.list)
    return print(
      allCases()
        .map(({ name }) => name)
        .join('\n'),
    );
  const directory = mkdtempSync(join(tmpdir(), 'vhost-ts-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

  print(`# ${options.rounds} rounds of ${options.seconds} s; figure [least..most]; peer, ratio`);
  const rows = await measure(options, directory);
  const machine = { cpu: cpus()[0]?.model, cpuCount: cpus().length, kernel: release() };
  const jsonPath = options.jsonPath ?? join(ROOT, '.cache', 'bench', 'vsock.json');
  mkdirSync(dirname(jsonPath), { recursive: true });
  const result = { options: { ...options, only: options.only.source }, machine, rows };
  writeFileSync(jsonPath, `${JSON.stringify(result, null, 1)}\n`);
  print(`\nwritten: ${jsonPath}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`bench:vsock: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
