// The front-end's side of the command line, ready to paste. The memory must be shared, or the
// back-end sees none of it.

export interface QemuArgsOptions {
  readonly socket: string;
  /** We connect, so QEMU has to listen. */
  readonly client?: boolean;
  readonly device: string;
  /** Extra device properties: {'num-queues': 4}. */
  readonly properties: Readonly<Record<string, number | string>>;
}

export function qemuArgs({ socket, client, device, properties }: QemuArgsOptions): string[] {
  const extra = Object.entries(properties).map(([key, value]) => `,${key}=${value}`);
  return [
    ...connection(socket, client === true),
    '-device',
    `${device},chardev=vhost0${extra.join('')}`,
  ];
}

export interface QemuNetArgsOptions {
  readonly socket: string;
  readonly client?: boolean;
  readonly pairs: number;
  readonly mac?: string | undefined;
}

/** A card is a netdev and the device in front of it; QEMU keeps the control queue. */
export function qemuNetArgs({ socket, client, pairs, mac }: QemuNetArgsOptions): string[] {
  const queues = pairs > 1 ? `,queues=${pairs}` : '';
  // A vector for each virtqueue, one for the control queue and one for changes of config space.
  const vectors = pairs > 1 ? `,mq=on,vectors=${2 * pairs + 2}` : '';
  return [
    ...connection(socket, client === true),
    '-netdev',
    `vhost-user,id=net0,chardev=vhost0${queues}`,
    '-device',
    `virtio-net-pci,netdev=net0${vectors}${mac === undefined ? '' : `,mac=${mac}`}`,
  ];
}

export function qemuNetArgsText(options: QemuNetArgsOptions): string {
  return asText(qemuNetArgs(options));
}

/** Shared memory and the socket. */
function connection(socket: string, listens: boolean): string[] {
  // QEMU's option parser takes a doubled comma for one (a path may hold one).
  const path = socket.replaceAll(',', ',,');
  return [
    '-object',
    'memory-backend-memfd,id=mem0,size=1G,share=on',
    '-numa',
    'node,memdev=mem0',
    '-chardev',
    `socket,id=vhost0,path=${path}${listens ? ',server=on' : ''}`,
  ];
}

/** One argument pair a line, quoted for a shell. */
export function qemuArgsText(options: QemuArgsOptions): string {
  return asText(qemuArgs(options));
}

function asText(args: readonly string[]): string {
  const lines: string[] = [];
  for (let i = 0; i < args.length; i += 2) {
    lines.push(`  ${args[i]} ${shellQuote(args[i + 1] as string)}`);
  }
  return `${lines.join(' \\\n')}\n`;
}

function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
