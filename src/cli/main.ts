// Starts oclif: straight into a known command, which is what a service does; everything else
// (help, version, unknown commands) through oclif's own dispatcher, which takes 60 ms longer.

import { fileURLToPath } from 'node:url';
import type { Command } from '@oclif/core/command';

type CommandModule = {
  readonly default: {
    run(argv: string[], options: { root: string }): Promise<unknown>;
  } & typeof Command;
};

const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  blk: () => import('../commands/blk.js'),
};

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export async function main(argv: readonly string[]): Promise<void> {
  const [name, ...rest] = argv;
  const load = name === undefined ? undefined : COMMANDS[name];
  const wantsHelp = rest.some((word) => word === '--help' || word === '-h');
  if (load !== undefined && !wantsHelp) {
    const { default: command } = (await load()) as CommandModule;
    command.id = name as string;
    await command.run(rest, { root: ROOT });
    return;
  }
  const { execute } = await import('@oclif/core/execute');
  await execute({ args: [...argv], dir: ROOT });
}
