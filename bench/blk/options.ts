import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface RunOptions {
  readonly a: string;
  readonly b: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly only: RegExp;
  readonly jsonPath: string | undefined;
  readonly directory: string | undefined;
  readonly aio: string | undefined;
  readonly directChains: boolean;
  readonly keepAwake: boolean;
  /** CPU of the load generator and of the daemons; none on a machine with one CPU. */
  readonly pins: { readonly load: number; readonly daemon: number } | undefined;
}

export const USAGE = `usage: npm run bench:blk -- [options]
  --only REGEX       cases whose name matches (also: idle, startup)
  --quick            3 rounds of 0.5 s
  --rounds N         rounds per case (5)      --seconds S   measured seconds per run (1.0)
  --a D, --b D       daemons to compare: vhost-ts[:BIN.js], qemu-storage-daemon[:file]
  --aio NAME         handed to vhost-ts
  --direct-chains    three ring entries per request instead of one indirect one
  --keep-awake       idle-priority spinners keep virtual CPUs from halting (steadier, see README)
  --directory DIR    where the two 1 GiB images live (.cache/bench)
  --json FILE        all samples and rows (.cache/bench/blk.json)
  --list             print the case names`;

export interface ParsedOptions extends RunOptions {
  readonly list: boolean;
  readonly help: boolean;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name} needs a positive number, not "${text}"`);
  return value;
}

export function parseOptions(args: readonly string[]): ParsedOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      a: { type: 'string', default: 'vhost-ts' },
      b: { type: 'string', default: 'qemu-storage-daemon' },
      only: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      aio: { type: 'string' },
      json: { type: 'string' },
      directory: { type: 'string' },
      'direct-chains': { type: 'boolean', default: false },
      'keep-awake': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return {
    a: values.a,
    b: values.b,
    rounds: Math.ceil(positive('rounds', values.rounds ?? (values.quick ? '3' : '5'))),
    seconds: positive('seconds', values.seconds ?? (values.quick ? '0.5' : '1.0')),
    only: new RegExp(values.only),
    jsonPath: values.json,
    directory: values.directory,
    aio: values.aio,
    directChains: values['direct-chains'],
    keepAwake: values['keep-awake'],
    pins: availableParallelism() > 1 ? { load: 0, daemon: 1 } : undefined,
    list: values.list,
    help: values.help,
  };
}
