// Writer of the "newc" cpio format (kernel: Documentation/driver-api/early-userspace/
// buffer-format.rst). Own code instead of cpio(1): device nodes and root ownership need no
// privilege this way, and equal input gives equal bytes.

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;
const ALIGNMENT = 4;
const TRAILER = 'TRAILER!!!';

function padding(lengthBytes: number): Buffer {
  return Buffer.alloc((ALIGNMENT - (lengthBytes % ALIGNMENT)) % ALIGNMENT);
}

interface EntryOptions {
  readonly mode: number;
  readonly data?: Buffer;
  readonly device?: { readonly major: number; readonly minor: number };
}

export class CpioArchive {
  readonly #parts: Buffer[] = [];
  readonly #directories = new Set<string>(['.', '/', '']);
  #inode = 0;

  #add(name: string, { mode, data = Buffer.alloc(0), device }: EntryOptions): void {
    this.#inode += 1;
    const nameBytes = Buffer.from(`${name}\0`);
    const fields = [
      this.#inode,
      mode,
      0, // uid
      0, // gid
      1, // nlink
      0, // mtime
      data.length,
      0, // major and minor of the device the file lies on
      0,
      device?.major ?? 0,
      device?.minor ?? 0,
      nameBytes.length,
      0, // check
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    const head = Buffer.concat([Buffer.from(header), nameBytes]);
    this.#parts.push(head, padding(head.length), data, padding(data.length));
  }

  directory(path: string): this {
    const name = path.replace(/^\/+|\/+$/g, '');
    if (this.#directories.has(name)) return this;
    const slash = name.lastIndexOf('/');
    if (slash > 0) this.directory(name.slice(0, slash));
    this.#directories.add(name);
    this.#add(name, { mode: S_IFDIR | 0o755 });
    return this;
  }

  #parentOf(path: string): string {
    const name = path.replace(/^\/+/, '');
    this.directory(name.slice(0, Math.max(0, name.lastIndexOf('/'))));
    return name;
  }

  file(path: string, data: Buffer, permissions = 0o755): this {
    this.#add(this.#parentOf(path), { mode: S_IFREG | permissions, data });
    return this;
  }

  link(path: string, target: string): this {
    this.#add(this.#parentOf(path), { mode: S_IFLNK | 0o777, data: Buffer.from(target) });
    return this;
  }

  characterDevice(path: string, major: number, minor: number): this {
    this.#add(this.#parentOf(path), { mode: S_IFCHR | 0o600, device: { major, minor } });
    return this;
  }

  finish(): Buffer {
    this.#add(TRAILER, { mode: 0 });
    return Buffer.concat(this.#parts);
  }
}
