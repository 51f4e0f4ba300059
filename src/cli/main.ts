// Starts a command: straight into a known one, which is what a service does; help and version
// through oclif's own dispatcher, which takes 60 ms longer.

import type { Config } from '@oclif/core/config';
import type { BaseCommand } from './base-command.js';
import { EXIT_CODES } from './exit-codes.js';
import { stopOnSignals } from './stop-signals.js';
import { nearest } from './suggestion.js';

type CommandModule = {
  readonly default: (new (
    argv: string[],
    config: Config,
  ) => BaseCommand) &
    Pick<typeof BaseCommand, 'id' | 'start'>;
};

const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  blk: () => import('../commands/blk.js'),
  net: () => import('../commands/net.js'),
  run: () => import('../commands/run.js'),
  vsock: () => import('../commands/vsock.js'),
};

const HELP = ['--help', '-h'];
const VERSION = ['--version', '-V'];

/** `root` is the directory of package.json. */
export async function main(argv: readonly string[], root: string): Promise<void> {
  const [name, ...rest] = argv;
  const has = (words: readonly string[]) => rest.some((word) => words.includes(word));
  if (name === undefined || HELP.includes(name) || VERSION.includes(name)) {
    await dispatch(name === undefined ? [] : [name], root);
    return;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    refuse(name);
  } else if (has(['--print-capabilities']) || !has([...HELP, ...VERSION])) {
    stopOnSignals();
    const { default: command } = (await load()) as CommandModule;
    command.id = name;
    await command.start(rest);
  } else {
    await dispatch(has(HELP) ? [name, '--help'] : ['--version'], root);
  }
}

async function dispatch(args: string[], root: string): Promise<void> {
  const { execute } = await import('@oclif/core/execute');
  await execute({ args, dir: root });
}

function refuse(name: string): void {
  const names = Object.keys(COMMANDS);
  const close = nearest(name, names);
  const hint = close === undefined ? `known: ${names.join(', ')}` : `did you mean ${close}?`;
  const what = name.startsWith('-') ? 'flag before the command' : 'unknown command';
  // A name may hold anything, and this is to be one line.
  process.stderr.write(`vhost-ts: ${what}: ${JSON.stringify(name).slice(1, -1)}; ${hint}\n`);
  process.exitCode = EXIT_CODES.usage;
}
