// vhost-ts run: a device from a module of the user's own.

import { Args } from '../cli/args.js';
import {
  BaseCommand,
  checkSocketFlags,
  LOG_FLAGS,
  SOCKET_FLAGS,
  WORKER_FLAGS,
} from '../cli/base-command.js';
import { UserError } from '../cli/exit-codes.js';
import { Flags } from '../cli/flags.js';

export default class Run extends BaseCommand {
  static override summary = 'Serve a device that a JavaScript module of your own defines.';

  static override description =
    'The module exports what defineDevice() returned; see docs/guides/write-a-device.md.';

  static override examples = [
    '<%= config.bin %> run ./my-device.js --socket /tmp/my.sock',
    '<%= config.bin %> run ./my-device.js --socket /tmp/my.sock --option bytesMax=64',
  ];

  static override args = {
    module: Args.string({ description: 'the module, a .js or .mjs file' }),
  };

  static override flags = {
    ...SOCKET_FLAGS,
    option: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: "set an option of the device's; give it once for each",
      helpValue: 'NAME=VALUE',
    }),
    ...WORKER_FLAGS,
    ...LOG_FLAGS,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Run);
    if (args.module === undefined || args.module === '') {
      throw new UserError('usage', 'give the module that defines the device');
    }
    checkSocketFlags(flags);
    const { runDevice } = await import('../cli/run-device.js');
    await runDevice({ ...flags, module: args.module });
  }
}
