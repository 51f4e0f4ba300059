// vhost-ts net: a network card for a guest.

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
import { qemuNetArgsText } from '../cli/qemu-args.js';

/** The schema's limit, known here without loading it. */
const QUEUE_PAIRS_MAX = 127;

export default class Net extends BaseCommand {
  static override summary = 'Serve a virtio network card.';

  static override examples = [
    '<%= config.bin %> net --socket /tmp/vn.sock --tap tap0',
    '<%= config.bin %> net --socket /tmp/vn.sock --tap tap0 --queue-pairs 4 --workers 4',
    '<%= config.bin %> net --socket /tmp/vn.sock --stream /tmp/passt.sock',
  ];

  static override flags = {
    ...SOCKET_FLAGS,
    socket: Flags.string({
      aliases: ['socket-path'],
      multiple: true,
      multipleNonGreedy: true,
      description: 'listen on this UNIX socket; with --switch once for each guest',
      helpValue: 'PATH',
    }),
    tap: Flags.string({
      description: 'a tap of the host, made if it does not exist',
      helpValue: 'NAME',
    }),
    'tap-persist': Flags.boolean({
      description: 'the tap stays, with its addresses, when the daemon has ended',
    }),
    'tap-fd': Flags.integer({
      multiple: true,
      multipleNonGreedy: true,
      min: 0,
      description: 'an inherited tap; give it once for each queue pair',
      helpValue: 'N',
    }),
    stream: Flags.string({
      description: 'connect to a UNIX stream socket of frames (passt, QEMU -netdev stream)',
      helpValue: 'PATH',
    }),
    'stream-listen': Flags.string({
      description: 'listen on a UNIX stream socket of frames',
      helpValue: 'PATH',
    }),
    dgram: Flags.string({
      description: 'UNIX datagrams, a frame each (QEMU -netdev dgram)',
      helpValue: 'LOCAL,REMOTE',
    }),
    null: Flags.boolean({ description: 'drop what the guest sends, deliver nothing' }),
    switch: Flags.string({
      description: 'a learning switch between the guests of several --socket',
      helpValue: 'NAME',
    }),
    port: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'the Nth --socket: N:access=V, N:trunk=V+V[,native=V]; N:isolated; N:mac=MAC',
      helpValue: 'N:RULE',
    }),
    'mac-age': Flags.integer({
      min: 1,
      description: 'the switch forgets addresses not heard of for so long (default: 300)',
      helpValue: 'SECONDS',
    }),
    'storm-limit': Flags.integer({
      min: 0,
      description: 'broadcasts and multicasts a port may send (default: 10000; 0: any number)',
      helpValue: 'PER-SECOND',
    }),
    uplink: Flags.string({
      description: 'a way out of the switch: tap:NAME, stream:PATH or stream-listen:PATH',
      helpValue: 'WHERE',
    }),
    'no-offload': Flags.boolean({
      description: 'guests at the switch leave no checksum and no segment to each other',
    }),
    mac: Flags.string({
      description: 'address of the card, where the front-end asks us for it (default: random)',
      helpValue: 'MAC',
    }),
    mtu: Flags.integer({
      description: 'MTU the guest is told of, 68 to 65535',
      helpValue: 'BYTES',
    }),
    'queue-pairs': Flags.integer({
      default: 1,
      min: 1,
      max: QUEUE_PAIRS_MAX,
      description: 'pairs of virtqueues, up to 127',
      helpValue: 'N',
    }),
    'queue-size': Flags.integer({
      default: 1024,
      description: 'largest ring a guest may set up, a power of two',
      helpValue: 'N',
    }),
    'queue-num': Flags.option({ options: ['queues', 'pairs'] as const })({
      default: 'queues',
      description: 'what GET_QUEUE_NUM counts',
    }),
    pcap: Flags.string({
      description: "write the guest's frames to this file (pcapng)",
      helpValue: 'FILE',
    }),
    'pcap-limit': Flags.integer({
      min: 1,
      description: 'largest file --pcap writes (default: 1024)',
      helpValue: 'MIB',
    }),
    ...WORKER_FLAGS,
    ...LOG_FLAGS,
    ...INFORMATION_FLAGS,
  };

  async run(): Promise<void> {
    if (this.argv.includes('--print-capabilities')) {
      process.stdout.write(`${capabilitiesJson('net')}\n`);
      return;
    }
    const { flags } = await this.parse(Net);
    const { socket: sockets = [], ...rest } = flags;
    const socket = sockets[0];
    if (flags.switch !== undefined) {
      checkSwitchFlags(flags, sockets);
      const { runSwitch } = await import('../cli/run-switch.js');
      await runSwitch({ ...rest, switch: flags.switch, sockets });
      return;
    }
    checkCardFlags(flags, sockets);
    checkSocketFlags({ ...flags, socket });
    if (flags['print-qemu-args']) {
      const { client, mac, 'queue-pairs': pairs } = flags;
      process.stdout.write(
        qemuNetArgsText({ socket: socketForQemu({ socket }), client, pairs, mac }),
      );
      return;
    }
    const { runNet } = await import('../cli/run-net.js');
    await runNet({ ...rest, socket });
  }
}

const OF_A_SWITCH = ['port', 'mac-age', 'storm-limit', 'uplink', 'no-offload'];

function checkCardFlags(
  flags: Readonly<Record<string, unknown>>,
  sockets: readonly string[],
): void {
  const strange = OF_A_SWITCH.find((name) => flags[name] !== undefined && flags[name] !== false);
  if (strange !== undefined || sockets.length > 1) {
    const what = strange === undefined ? 'several --socket need' : `--${strange} needs`;
    throw new UserError('usage', `${what} --switch NAME`);
  }
}

/** What --switch goes together with. */
function checkSwitchFlags(
  flags: Readonly<Record<string, unknown>>,
  sockets: readonly string[],
): void {
  const strange = OF_ONE_CARD.find((name) => flags[name] !== undefined && flags[name] !== false);
  if (strange !== undefined) {
    throw new UserError('usage', `--${strange} does not go with --switch`);
  }
  if (flags['queue-pairs'] !== 1) {
    throw new UserError('usage', '--switch has one queue pair for each guest');
  }
  if (sockets.includes('') || new Set(sockets).size < sockets.length) {
    throw new UserError('usage', 'each --socket of a switch needs a path of its own');
  }
}

const OF_ONE_CARD = [
  'fd',
  'tap',
  'tap-persist',
  'tap-fd',
  'stream',
  'stream-listen',
  'dgram',
  'null',
  'mac',
  'print-qemu-args',
];
