// vhost-ts vsock: sockets between a guest and the host.

import {
  BaseCommand,
  checkSocketFlags,
  INFORMATION_FLAGS,
  LOG_FLAGS,
  SOCKET_FLAGS,
  socketForQemu,
  WORKER_FLAGS,
} from '../cli/base-command.js';
import { capabilitiesJson } from '../cli/capabilities.js';
import { UserError } from '../cli/exit-codes.js';
import { Flags } from '../cli/flags.js';
import { qemuArgsText } from '../cli/qemu-args.js';

export default class Vsock extends BaseCommand {
  static override summary = 'Serve sockets between a guest and UNIX sockets of the host.';

  static override examples = [
    '<%= config.bin %> vsock --socket /tmp/vs.sock --guest-cid 42 --uds-path /tmp/guest',
    '<%= config.bin %> vsock --socket /tmp/vs.sock --print-qemu-args',
  ];

  static override flags = {
    ...SOCKET_FLAGS,
    'guest-cid': Flags.integer({
      description: "the guest's address, 3 or more",
      helpValue: 'N',
    }),
    'uds-path': Flags.string({
      description: "host programs connect here; the guest's port N goes to PATH_N",
      helpValue: 'PATH',
    }),
    'tx-buffer-size': Flags.integer({
      description: 'bytes a connection may have waiting for the host (default 262144)',
      helpValue: 'BYTES',
    }),
    aio: WORKER_FLAGS.aio,
    'poll-us': WORKER_FLAGS['poll-us'],
    ...LOG_FLAGS,
    ...INFORMATION_FLAGS,
  };

  async run(): Promise<void> {
    if (this.argv.includes('--print-capabilities')) {
      process.stdout.write(`${capabilitiesJson('vsock')}\n`);
      return;
    }
    const { flags } = await this.parse(Vsock);
    checkSocketFlags(flags);
    if (flags['print-qemu-args']) {
      const socket = socketForQemu(flags);
      const device = 'vhost-user-vsock-pci';
      process.stdout.write(qemuArgsText({ socket, client: flags.client, device, properties: {} }));
      return;
    }
    if (flags['guest-cid'] === undefined) {
      throw new UserError('usage', 'give --guest-cid N');
    }
    if (flags['uds-path'] === undefined) {
      throw new UserError('usage', 'give --uds-path PATH');
    }
    const { runVsock } = await import('../cli/run-vsock.js');
    await runVsock({ ...flags, 'guest-cid': flags['guest-cid'] });
  }
}
