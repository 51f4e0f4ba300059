import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly only: RegExp;
  readonly bin: string | undefined;
  readonly keepAwake: boolean;
  readonly jsonPath: string | undefined;
  /** CPU of the load generator and of what is measured; none on a machine with one CPU. */
  readonly pins: { readonly load: number; readonly daemon: number } | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

export const USAGE = `usage: npm run bench:vsock -- [options]
  --only REGEX       cases whose name matches
  --quick            3 rounds of 0.5 s
  --rounds N         rounds per case (5)      --seconds S   measured seconds per run (1.0)
  --bin FILE         another checkout's bin/vhost-ts.js
  --keep-awake       idle-priority spinners keep virtual CPUs from halting (steadier, see README)
  --json FILE        all samples and rows (.cache/bench/vsock.json)
  --list             print the case names`;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name} needs a positive number, not "${text}"`);
  return value;
}

export function parseOptions(args: readonly string[]): RunOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      bin: { type: 'string' },
      'keep-awake': { type: 'boolean', default: false },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return {
    rounds: Math.ceil(positive('rounds', values.rounds ?? (values.quick ? '3' : '5'))),
    seconds: positive('seconds', values.seconds ?? (values.quick ? '0.5' : '1.0')),
    only: new RegExp(values.only),
    bin: values.bin,
    keepAwake: values['keep-awake'],
    jsonPath: values.json,
    pins: availableParallelism() > 1 ? { load: 0, daemon: 1 } : undefined,
    list: values.list,
    help: values.help,
  };
}
