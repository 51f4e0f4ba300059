import type { CommandLine } from '../common/processes.js';
import type { DaemonSetting } from './cases.js';

/** `vhost-ts` of this checkout, another checkout's bin file, or the baseline. */
export type DaemonKind =
  | { readonly program: 'vhost-ts'; readonly binPath: string }
  | { readonly program: 'qemu-storage-daemon'; readonly rawLayer: boolean };

const QEMU = 'qemu-storage-daemon';

export function parseDaemonKind(text: string, ownBinPath: string): DaemonKind {
  if (text === QEMU) return { program: QEMU, rawLayer: true };
  if (text === `${QEMU}:file`) return { program: QEMU, rawLayer: false };
  if (text === 'vhost-ts') return { program: 'vhost-ts', binPath: ownBinPath };
  if (text.startsWith('vhost-ts:')) return { program: 'vhost-ts', binPath: text.slice(9) };
  throw new RangeError(`unknown daemon "${text}": vhost-ts[:BIN] or ${QEMU}[:file]`);
}

export interface DaemonPlace {
  readonly socketPath: string;
  readonly imagePath: string;
  readonly aio?: string | undefined;
}

function vhostTs(binPath: string, setting: DaemonSetting, place: DaemonPlace): CommandLine {
  const args = [binPath, 'blk', '--socket', place.socketPath, '--image', place.imagePath];
  args.push('--num-queues', String(setting.queues));
  if (setting.cache === 'direct') args.push('--cache', 'none');
  if (setting.pollUs !== undefined) args.push('--poll-us', String(setting.pollUs));
  if (place.aio !== undefined) args.push('--aio', place.aio);
  return { command: process.execPath, args };
}

/** A comma in a value would end it: QEMU's option syntax doubles it. */
const quoted = (path: string): string => path.replaceAll(',', ',,');

function qemuStorageDaemon(
  rawLayer: boolean,
  setting: DaemonSetting,
  place: DaemonPlace,
): CommandLine {
  const direct = setting.cache === 'direct' ? 'on' : 'off';
  const file = `driver=file,node-name=file,filename=${quoted(place.imagePath)}`;
  const options = `aio=io_uring,cache.direct=${direct},discard=unmap,locking=off`;
  const raw = rawLayer ? ['--blockdev', 'driver=raw,node-name=disk,file=file'] : [];
  const exported =
    `type=vhost-user-blk,id=export,addr.type=unix,addr.path=${quoted(place.socketPath)},` +
    `node-name=${rawLayer ? 'disk' : 'file'},writable=on,num-queues=${setting.queues},iothread=io0`;
  return {
    command: QEMU,
    args: [
      '--object',
      'iothread,id=io0',
      '--blockdev',
      `${file},${options}`,
      ...raw,
      '--export',
      exported,
    ],
  };
}

export function daemonCommand(
  kind: DaemonKind,
  setting: DaemonSetting,
  place: DaemonPlace,
): CommandLine {
  return kind.program === 'vhost-ts'
    ? vhostTs(kind.binPath, setting, place)
    : qemuStorageDaemon(kind.rawLayer, setting, place);
}
