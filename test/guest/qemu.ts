// A guest under QEMU with its disk behind a vhost-user socket.
import { spawnTracked, within } from './children.js';
import type { Machine } from './console.js';
import { GuestConsole } from './console.js';
import { buildInitramfs } from './initramfs.js';
import { findQemuKernel } from './kernels.js';

export type Accelerator = 'tcg' | 'kvm';

export interface QemuOptions {
  /** Without a socket the guest has no disk. */
  readonly socketPath?: string;
  /** QEMU listens on it and waits for the back-end. */
  readonly listens?: boolean;
  readonly numQueues: number;
  /** Packed virtqueues (VIRTIO 1.3 §2.8). */
  readonly packed?: boolean;
  /** key=value for the guest script, handed over on the kernel command line. */
  readonly parameters: Readonly<Record<string, string | number>>;
  readonly accelerator: Accelerator;
  /** More of QEMU's arguments, for devices that are no disk. */
  readonly devices?: readonly string[];
  /** More of the host's programs in the guest. */
  readonly programs?: readonly string[];
  /** A socket to be made for its monitor (QMP). */
  readonly monitorPath?: string;
  /** Room for memory to be plugged later, in so many slots. */
  readonly memorySlots?: { readonly count: number; readonly totalMib: number };
  /** Wait on this socket for a guest that migrates here, instead of booting one. */
  readonly incomingPath?: string;
  /** The disk behind an Intel IOMMU, which the guest programs for each request. */
  readonly iommu?: boolean;
}

const MEMORY_MIB = 256;
// A healthy KVM guest boots in one second; a device that only pretends hangs for good.
const KVM_PROBE_MS = 8000;
// A process in uninterruptible sleep outlives SIGKILL: do not wait for it for ever.
const KILL_WAIT_MS = 2000;

export function kernelCommandLine(parameters: QemuOptions['parameters']): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function diskArguments(options: QemuOptions): string[] {
  const { socketPath, listens, numQueues, packed, iommu } = options;
  if (socketPath === undefined) return [];
  const rings = packed ? ',packed=on' : '';
  const behind = iommu ? ',iommu_platform=on,ats=on,disable-legacy=on' : '';
  return [
    ...(iommu ? ['-device', 'intel-iommu,caching-mode=on,device-iotlb=on'] : []),
    ...['-chardev', `socket,id=disk,path=${socketPath}${listens ? ',server=on' : ''}`],
    ...['-device', `vhost-user-blk-pci,chardev=disk,num-queues=${numQueues}${rings}${behind}`],
  ];
}

function memoryArguments({ memorySlots: slots }: QemuOptions): string[] {
  const maximumMib = MEMORY_MIB + (slots?.totalMib ?? 0);
  const more = slots === undefined ? '' : `,slots=${slots.count},maxmem=${maximumMib}M`;
  return [
    ...['-m', `${MEMORY_MIB}M${more}`],
    // Guest memory the back-end can map.
    ...['-object', `memory-backend-memfd,id=mem,size=${MEMORY_MIB}M,share=on`],
    ...['-numa', 'node,memdev=mem'],
  ];
}

function migrationArguments({ monitorPath, incomingPath }: QemuOptions): string[] {
  return [
    ...(monitorPath === undefined ? [] : ['-qmp', `unix:${monitorPath},server=on,wait=off`]),
    ...(incomingPath === undefined ? [] : ['-incoming', `unix:${incomingPath}`]),
  ];
}

/** Under TCG a boot with few CPU features to set up takes a fifth less time (measured: 4.1 s, 5.0 s). */
const cpuModel = (accelerator: Accelerator) => (accelerator === 'tcg' ? 'Nehalem' : 'max');

export function startQemu(options: QemuOptions): Machine {
  const kernel = findQemuKernel();
  if (kernel === undefined) throw new Error('no guest kernel: run "npm run setup"');
  // loglevel=4: errors reach the console, the kernel's chatter does not slow the guest down.
  const { iommu = false } = options;
  // Every buffer mapped before a request and unmapped, with an invalidation, at once behind it.
  const strict = iommu ? 'intel_iommu=on iommu=nopt iommu.strict=1 ' : '';
  const parameters = `${strict}${kernelCommandLine(options.parameters)}`;
  const append = `console=ttyS0 loglevel=4 mitigations=off nokaslr ${parameters}`;
  const child = spawnTracked(
    'qemu-system-x86_64',
    [
      '-M',
      `q35,accel=${options.accelerator}${iommu ? ',kernel-irqchip=split' : ''}`,
      ...['-cpu', cpuModel(options.accelerator)],
      // virtio_blk uses no more queues than the guest has processors.
      ...['-smp', `${options.numQueues}`, '-nodefaults', '-display', 'none', '-serial', 'stdio'],
      ...memoryArguments(options),
      ...diskArguments(options),
      ...(options.devices ?? []),
      ...migrationArguments(options),
      ...['-kernel', kernel.imagePath, '-append', append],
      ...['-initrd', buildInitramfs(kernel, options.programs)],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const console = new GuestConsole([child.process.stdout, child.process.stderr]);
  return { console, child, title: `QEMU (${options.accelerator})` };
}

async function kvmBoots(): Promise<boolean> {
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'probe' },
    accelerator: 'kvm',
  });
  const said = machine.console.waitFor('ok boot', KVM_PROBE_MS);
  const booted = await Promise.race([said, machine.child.exited.then(() => false)]);
  machine.child.kill();
  await within(machine.child.exited, KILL_WAIT_MS);
  return booted;
}

let chosen: Promise<Accelerator> | undefined;

/**
 * TCG, unless VHOST_TS_ACCEL=kvm asks for more and a guest has really booted: there are
 * paravirtual /dev/kvm that open, take every call and then hang an ordinary kernel.
 */
export function chooseAccelerator(): Promise<Accelerator> {
  chosen ??=
    process.env.VHOST_TS_ACCEL === 'kvm'
      ? kvmBoots().then((boots) => (boots ? 'kvm' : 'tcg'))
      : Promise.resolve('tcg');
  return chosen;
}
