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
  // QEMU's option parser takes a doubled comma for one (a path may hold one).
  const path = socket.replaceAll(',', ',,');
  return [
    '-object',
    'memory-backend-memfd,id=mem0,size=1G,share=on',
    '-numa',
    'node,memdev=mem0',
    '-chardev',
    `socket,id=vhost0,path=${path}${client === true ? ',server=on' : ''}`,
    '-device',
    `${device},chardev=vhost0${extra.join('')}`,
  ];
}

/** One argument pair a line, quoted for a shell. */
export function qemuArgsText(options: QemuArgsOptions): string {
  const args = qemuArgs(options);
  const lines: string[] = [];
  for (let i = 0; i < args.length; i += 2) {
    lines.push(`  ${args[i]} ${shellQuote(args[i + 1] as string)}`);
  }
  return `${lines.join(' \\\n')}\n`;
}

function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
