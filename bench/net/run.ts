import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildLoadProgram } from '../common/load-program.js';
import { type BackEnd, type BackEndPlace, startNetVhost, startVhostTs } from './back-end.js';
import { BULK_CASES, compareBulk, whyNoBulk } from './bulk.js';
import { METRICS, packetCases, pairCases, type Sample, type Target, type Way } from './cases.js';
import { parseOptions, type RunOptions, USAGE } from './options.js';
import { type LoadSettings, runPackets } from './packet-load.js';
import { runPair } from './pair-load.js';
import { formatTable, type Row, row } from './report.js';
import { whyNoTestpmd } from './testpmd.js';

/** From dist/bench/net to the top of the checkout. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const OWN_BIN = join(ROOT, 'bin', 'vhost-ts.js');
const LOAD_BINARY = join(ROOT, '.cache', 'bench', 'net-load-generator');

/** Front-end and back-end have a CPU each. */
const LOAD_CPU = 0;
const BACK_END_CPU = 1;
const WARMUP_SECONDS = 0.2;

type Start = (way: Way, place: BackEndPlace) => Promise<BackEnd>;

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function backEndStarter(name: string): Start {
  if (name === 'net_vhost') return startNetVhost;
  const bin = name === 'vhost-ts' ? OWN_BIN : name.replace(/^vhost-ts:/, '');
  if (!existsSync(bin)) throw new Error(`unknown back-end "${name}": vhost-ts[:BIN] or net_vhost`);
  return (way, place) => startVhostTs(bin, way, place);
}

/** Load of some kind for two back-ends. */
interface Contest {
  readonly name: string;
  readonly way: Way;
  readonly targets: readonly Target[];
  readonly run: (backEnd: BackEnd, load: LoadSettings) => Promise<Sample>;
}

/** A and B next to each other; who goes first alternates, so that a drift favours neither side. */
async function compareBackEnds(
  { name, way, targets, run }: Contest,
  options: RunOptions,
  directory: string,
): Promise<Row[]> {
  const place: BackEndPlace = { directory, cpu: BACK_END_CPU, otherCpu: LOAD_CPU };
  const load: LoadSettings = {
    seconds: options.seconds,
    warmupSeconds: WARMUP_SECONDS,
    cpu: LOAD_CPU,
    otherCpu: BACK_END_CPU,
  };
  const starts = { a: backEndStarter(options.a), b: backEndStarter(options.b) };
  const samples: Record<'a' | 'b', Sample[]> = { a: [], b: [] };
  for (let round = 0; round < options.rounds; round++) {
    for (const label of round % 2 === 0 ? (['a', 'b'] as const) : (['b', 'a'] as const)) {
      const backEnd = await starts[label](way, place);
      try {
        samples[label].push(await run(backEnd, load));
      } finally {
        await backEnd.stop();
      }
    }
  }
  return METRICS.map((metric) =>
    row(
      name,
      metric === 'packetsPerSecond' ? 'Mpps' : 'Mpackets/CPU s',
      samples.a.map((sample) => sample[metric] / 1e6),
      samples.b.map((sample) => sample[metric] / 1e6),
      targets.find((target) => target.metric === metric)?.ratio,
    ),
  );
}

function contests(): Contest[] {
  const packets = packetCases().map((of) => ({
    ...of,
    run: (backEnd: BackEnd, load: LoadSettings) => runPackets(of, backEnd, load),
  }));
  const pairs = pairCases().map((of) => ({
    ...of,
    way: 'switch' as const,
    run: (backEnd: BackEnd, load: LoadSettings) => {
      buildLoadProgram(join(ROOT, 'bench'), 'net', LOAD_BINARY);
      return runPair(of, backEnd, LOAD_BINARY, load);
    },
  }));
  return [...packets, ...pairs];
}

/** What can be measured, each by its name. */
interface Runnable {
  readonly name: string;
  readonly whyNot: () => string | undefined;
  readonly compare: () => Promise<Row[]>;
}

function runnables(options: RunOptions, directory: string): Runnable[] {
  const packets = contests().map((of) => ({
    name: of.name,
    whyNot: whyNoTestpmd,
    compare: () => compareBackEnds(of, options, directory),
  }));
  const { rounds, seconds } = options;
  const bulk = BULK_CASES.map((of) => ({
    name: of.name,
    whyNot: whyNoBulk,
    compare: () => compareBulk(of, { binPath: OWN_BIN, directory, rounds, seconds }),
  }));
  return [...packets, ...bulk].filter(({ name }) => options.only.test(name));
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  if (availableParallelism() < 2) throw new Error('needs two CPUs: one for each side');
  const directory = mkdtempSync(join(tmpdir(), 'vhost-ts-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const cases = runnables(options, directory);
  if (options.list) return print(cases.map(({ name }) => name).join('\n'));

  print(`# A = ${options.a}, B = ${options.b}, ${options.rounds} rounds of ${options.seconds} s`);
  const rows: Row[] = [];
  for (const { name, whyNot, compare } of cases) {
    const reason = whyNot();
    if (reason !== undefined) {
      print(`# ${name}: skipped, ${reason}`);
      continue;
    }
    const compared = await compare();
    print(formatTable(compared).split('\n').slice(2).join('\n'));
    rows.push(...compared);
  }
  print(`\n${formatTable(rows)}`);
  const jsonPath = options.jsonPath ?? join(ROOT, '.cache', 'bench', 'net.json');
  mkdirSync(dirname(jsonPath), { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cpuCount: cpus().length, kernel: release() };
  const used = { ...options, only: options.only.source };
  writeFileSync(jsonPath, `${JSON.stringify({ options: used, machine, rows }, null, 1)}\n`);
  print(`\nwritten: ${jsonPath}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`bench:net: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
