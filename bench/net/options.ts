import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run bench:net -- [options]
  --only REGEX       cases whose name matches
  --quick            3 rounds of 0.5 s
  --rounds N         rounds per case (5)      --seconds S   measured seconds per run (1.0)
  --a D, --b D       back-ends to compare: vhost-ts[:BIN.js], net_vhost
  --json FILE        all samples and rows (.cache/bench/net.json)
  --list             print the case names`;

export interface RunOptions {
  readonly a: string;
  readonly b: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly only: RegExp;
  readonly jsonPath: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name} needs a positive number, not "${text}"`);
  return value;
}

export function parseOptions(args: readonly string[]): RunOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      a: { type: 'string', default: 'vhost-ts' },
      b: { type: 'string', default: 'net_vhost' },
      only: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      json: { type: 'string' },
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
    list: values.list,
    help: values.help,
  };
}
