// vhost-ts blk: a disk for a guest.

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

/** The schema's limit, known here without loading it. */
const QUEUES_MAX = 128;

export default class Blk extends BaseCommand {
  static override summary = 'Serve a raw image or a block device as a virtio disk.';

  static override examples = [
    '<%= config.bin %> blk --socket /tmp/vb.sock --image disk.img',
    '<%= config.bin %> blk --socket /tmp/vb.sock --image new.img --create 10G --num-queues 4',
    '<%= config.bin %> blk --socket /tmp/vb.sock --image disk.img --print-qemu-args',
  ];

  static override flags = {
    ...SOCKET_FLAGS,
    image: Flags.string({
      aliases: ['blk-file'],
      description: 'raw image file or block device',
      helpValue: 'PATH',
    }),
    create: Flags.string({
      description: 'make the image with this size if it does not exist (512, 64K, 10G, …)',
      helpValue: 'SIZE',
    }),
    'read-only': Flags.boolean({ description: 'let the guest read only' }),
    'num-queues': Flags.integer({
      default: 1,
      min: 1,
      max: QUEUES_MAX,
      description: 'virtqueues, up to 128',
      helpValue: 'N',
    }),
    'queue-size': Flags.integer({
      default: 1024,
      description: 'largest ring a guest may set up, a power of two',
      helpValue: 'N',
    }),
    serial: Flags.string({
      default: 'vhost-ts',
      description: 'serial number, up to 20 bytes',
      helpValue: 'TEXT',
    }),
    'block-size': Flags.integer({
      options: ['512', '1024', '2048', '4096'],
      description: 'logical block in bytes (default 512, or what --cache none needs)',
      helpValue: 'BYTES',
    }),
    cache: Flags.option({ options: ['writeback', 'writethrough', 'none'] as const })({
      default: 'writeback',
      description: 'none bypasses the page cache (O_DIRECT)',
    }),
    'image-lock': Flags.option({ options: ['open', 'running'] as const })({
      default: 'open',
      description: 'when to lock the image: running is for live migration',
    }),
    'in-order': Flags.boolean({
      description: 'offer VIRTIO_F_IN_ORDER: a slow request then holds back those behind it',
    }),
    iommu: Flags.boolean({
      description: "offer VIRTIO_F_ACCESS_PLATFORM: requests pass the virtual machine's IOMMU",
    }),
    postcopy: Flags.boolean({
      description: 'take part in postcopy migration; the front-end then may fill our memory',
    }),
    ...WORKER_FLAGS,
    ...LOG_FLAGS,
    ...INFORMATION_FLAGS,
  };

  async run(): Promise<void> {
    if (this.argv.includes('--print-capabilities')) {
      process.stdout.write(`${capabilitiesJson('blk')}\n`);
      return;
    }
    const { flags } = await this.parse(Blk);
    checkSocketFlags(flags);
    if (flags['print-qemu-args']) {
      const socket = socketForQemu(flags);
      const device = 'vhost-user-blk-pci';
      const properties = { 'num-queues': flags['num-queues'] };
      process.stdout.write(qemuArgsText({ socket, client: flags.client, device, properties }));
      return;
    }
    if (flags.image === undefined) {
      throw new UserError('usage', 'give --image PATH');
    }
    const { runBlk } = await import('../cli/run-blk.js');
    await runBlk({ ...flags, image: flags.image });
  }
}
