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

/** Ways between guest and host; without any there is nothing to serve. */
const ENDS = ['uds-path', 'forward', 'listen', 'forward-cid', 'forward-listen'] as const;

/** Said of each guest in its --guest. */
const OF_ONE_GUEST = ['socket', 'fd', 'guest-cid', 'uds-path'] as const;

export default class Vsock extends BaseCommand {
  static override summary = 'Serve sockets between a guest and programs of the host.';

  static override examples = [
    '<%= config.bin %> vsock --socket /tmp/vs.sock --guest-cid 42 --uds-path /tmp/guest',
    '<%= config.bin %> vsock --socket /tmp/vs.sock --guest-cid 42 --listen tcp:127.0.0.1:2222=22',
    '<%= config.bin %> vsock --socket /tmp/vs.sock --print-qemu-args',
  ];

  static override flags = {
    ...SOCKET_FLAGS,
    'guest-cid': Flags.integer({
      description: "the guest's address, 3 or more",
      helpValue: 'N',
    }),
    guest: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'a guest of several: its socket, its CID, groups of guests that it may talk to',
      helpValue: 'SOCKET,cid=N,group=G',
    }),
    'uds-path': Flags.string({
      description: "host programs connect here; the guest's port N goes to PATH_N",
      helpValue: 'PATH',
    }),
    forward: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: "the guest's connections to PORT go to unix:PATH, tcp:HOST:PORT or exec:COMMAND",
      helpValue: '[CID:]PORT=TARGET',
    }),
    listen: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: "who connects to unix:PATH or tcp:ADDRESS:PORT reaches the guest's PORT",
      helpValue: 'ADDRESS=[CID:]PORT',
    }),
    'forward-cid': Flags.integer({
      description: "all other ports lead to the same port of this CID, by the host's own AF_VSOCK",
      helpValue: 'N',
    }),
    'forward-listen': Flags.string({
      description: "ports of the host's AF_VSOCK that lead to the same port of the guest's",
      helpValue: '[CID:]PORT+...',
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
    if (flags.guest === undefined) {
      checkSocketFlags(flags);
    } else {
      const stray = OF_ONE_GUEST.find((name) => flags[name] !== undefined);
      if (stray !== undefined) {
        throw new UserError('usage', `--${stray} is for one guest, not with --guest`);
      }
    }
    if (flags['print-qemu-args']) {
      const socket = socketForQemu(flags);
      const device = 'vhost-user-vsock-pci';
      process.stdout.write(qemuArgsText({ socket, client: flags.client, device, properties: {} }));
      return;
    }
    if (flags.guest === undefined && flags['guest-cid'] === undefined) {
      throw new UserError('usage', 'give --guest-cid N');
    }
    if (flags.guest === undefined && ENDS.every((name) => flags[name] === undefined)) {
      const known = ENDS.map((name) => `--${name}`).join(', ');
      throw new UserError('usage', `give the guest somebody to talk to: ${known}`);
    }
    const { runVsock } = await import('../cli/run-vsock.js');
    await runVsock(flags);
  }
}
