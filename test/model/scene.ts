// A driver, the real queue and the model of it on one small memory. Every step of the device's is
// done by both; then answers, positions and each byte of memory must be the same.

import { SharedMemory } from '../../src/core/frontend/index.js';
import {
  type DescriptorChain,
  GuestMemory,
  QueueError,
  Virtqueue,
} from '../../src/core/virtqueue/index.js';
import { GuestImage, type ImageRegion } from './guest-image.js';
import type { ModelDriver } from './model-driver.js';
import { PackedModelDriver } from './packed-model-driver.js';
import { PackedRingModel } from './packed-ring-model.js';
import type { ModelChain, Used } from './ring-model.js';
import type { SceneSpec, Step } from './scripts.js';
import { SplitModelDriver } from './split-model-driver.js';
import { SplitRingModel } from './split-ring-model.js';

const PAGE = 4096;
const BASE = 0x10000;
const MEMORY_BYTES = 4 * PAGE;
/** Two regions that adjoin for the guest and lie in the other order in the file, then a hole. */
const REGIONS: readonly ImageRegion[] = [
  { guestAddress: BASE, bytes: 2 * PAGE, fileOffset: 2 * PAGE },
  { guestAddress: BASE + 2 * PAGE, bytes: PAGE, fileOffset: 0 },
  { guestAddress: BASE + 4 * PAGE, bytes: PAGE, fileOffset: PAGE },
];
/** File offsets, all in the first region. */
const DESCRIPTORS = 2 * PAGE;
const AVAIL = DESCRIPTORS + 0x200;
const USED = DESCRIPTORS + 0x300;
const TABLES = DESCRIPTORS + 0x400;
const DATA_GUEST = BASE + 0x1000;
const DATA_BYTES = 2 * PAGE;
const WRAP = 0x8000;
const HEADER_BYTES = 16;

/** No two bytes near each other are the same. */
const PATTERN = Uint8Array.from({ length: MEMORY_BYTES }, (_, i) => i * 7 + (i >> 8));

export type Face = 'plain' | 'batch';

const inFirstRegion = (offset: number) => BigInt(offset - 2 * PAGE + BASE);

/** One memory for all scenes of a run: mapping it anew for each would take most of the time. */
export class SceneMemory {
  readonly shared = new SharedMemory({ sizeBytes: MEMORY_BYTES });
  readonly memory = GuestMemory.of(
    REGIONS.map(({ guestAddress, bytes, fileOffset }) => ({
      fd: this.shared.fd,
      guestAddress: BigInt(guestAddress),
      userAddress: BigInt(guestAddress) + 0x7000_0000n,
      sizeBytes: BigInt(bytes),
      mmapOffsetBytes: BigInt(fileOffset),
    })),
  );

  close(): void {
    this.memory.release();
    this.shared.close();
  }
}

export class Scene {
  readonly #memory: SceneMemory;
  readonly #packed: boolean;
  readonly #face: Face;
  readonly #spec: SceneSpec;
  #driver!: ModelDriver;
  #queue!: Virtqueue;
  #model!: SplitRingModel | PackedRingModel;
  #chains = new Map<number, { readonly chain: DescriptorChain; written: number }>();
  #counter = 0;

  constructor(memory: SceneMemory, packed: boolean, face: Face, spec: SceneSpec) {
    this.#memory = memory;
    this.#packed = packed;
    this.#face = face;
    this.#spec = spec;
    this.#renew(spec.base);
  }

  close(): void {
    this.#queue.ready = false;
  }

  step(step: Step): void {
    const acts: { readonly [Do in Step['do']]?: (step: Extract<Step, { do: Do }>) => void } = {
      offer: (offer) => this.#driver.offer(offer),
      reap: () => this.#driver.reap(),
      raw: (raw) => this.#driver.raw(raw, this.#model.nextAvail),
      rawTable: (raw) => this.#driver.rawTable(raw, this.#model.nextAvail),
      jump: ({ by }) => this.#driver.jump(by),
      event: ({ place, flags }) => this.#driver.event(place, flags, this.#model.nextUsed),
      pokeUsed: ({ value }) => this.#driver.pokeUsed(value),
      renew: ({ base }) => this.#renew(base),
    };
    const act = acts[step.do] as ((step: Step) => void) | undefined;
    if (act === undefined) {
      this.#compared(step.do, () => this.#deviceStep(step));
    } else {
      act(step);
    }
  }

  #deviceStep(step: Step): void {
    const [queue, model] = [this.#queue, this.#model];
    if (step.do === 'pop') {
      this.#pop(step.max);
    } else if (step.do === 'write') {
      this.#write(step.which, step.bytes);
    } else if (step.do === 'complete') {
      this.#complete(step.which);
    } else if (step.do === 'used') {
      this.#used(
        step.which.flatMap((one) => this.#open(one) ?? []),
        step.bytes,
      );
    } else if (step.do === 'bogus') {
      this.#used([step.head], 0);
    } else if (step.do === 'previous') {
      this.#previous();
    } else if (step.do === 'enable') {
      same(queue.enableNotification(), model.enableNotification(), 'enable');
    } else if (step.do === 'disable') {
      model.disableNotification();
      queue.disableNotification();
    } else if (step.do === 'needs') {
      same(queue.needsNotification(), model.needsNotification(), 'needs');
    } else if (step.do === 'restart') {
      this.#restart();
    }
  }

  #renew(base: number): void {
    const { size, eventIdx } = this.#spec;
    const { bytes } = this.#memory.shared;
    bytes.set(PATTERN);
    bytes.fill(0, DESCRIPTORS, TABLES);
    const place = this.#packed ? ((base & ~WRAP) % size) | (base & WRAP) : base & 0xffff;
    const places = {
      size,
      eventIdx,
      descriptors: DESCRIPTORS,
      avail: AVAIL,
      used: USED,
      tables: TABLES,
      guestAddress: inFirstRegion,
      anyAddress: (choice: number) => anyAddress(choice, this.#packed),
      goodAddress,
    };
    const Driver = this.#packed ? PackedModelDriver : SplitModelDriver;
    this.#driver = new Driver(places, bytes, place);
    this.#queue = new Virtqueue({
      memory: this.#memory.memory,
      maxSize: size,
      packed: this.#packed,
      inOrder: this.#spec.inOrder,
      headerBytes: HEADER_BYTES,
    });
    this.#queue.descTable = inFirstRegion(DESCRIPTORS);
    this.#queue.availRing = inFirstRegion(AVAIL);
    this.#queue.usedRing = inFirstRegion(USED);
    this.#queue.eventIdx = eventIdx;
    this.#queue.nextAvail = this.#queue.nextUsed = place;
    this.#compared('start', () => {
      this.#queue.ready = true;
      this.#startModel(place, place);
    });
  }

  #restart(): void {
    const state = this.#queue.state();
    this.#queue.ready = false;
    this.#queue = Virtqueue.restore(this.#memory.memory, structuredClone(state), {
      headerBytes: HEADER_BYTES,
    });
    this.#startModel(this.#model.nextAvail, this.#model.nextUsed);
  }

  #startModel(nextAvail: number, nextUsed: number): void {
    const places = { ...this.#spec, descriptors: DESCRIPTORS, avail: AVAIL, used: USED };
    const image = this.#model?.image;
    this.#model = this.#packed ? new PackedRingModel(places) : new SplitRingModel(places);
    this.#model.image = image;
    this.#model.image ??= this.#copy();
    this.#model.start(nextAvail, nextUsed);
    this.#chains.clear();
  }

  #copy(): GuestImage {
    return new GuestImage(this.#memory.shared.bytes.slice(), REGIONS);
  }

  #compared(what: string, act: () => void): void {
    if (this.#model !== undefined) {
      this.#model.image = this.#copy();
    }
    act();
    const { bytes } = this.#memory.shared;
    if (Buffer.compare(bytes, this.#model.image.bytes) !== 0) {
      const at = bytes.findIndex((byte, i) => byte !== this.#model.image.bytes[i]);
      const [real, model] = [bytes[at], this.#model.image.bytes[at]];
      throw new Error(`${what}: byte ${at} of memory is ${real}, not ${model}`);
    }
    same(this.#queue.isValid(), this.#model.fault === undefined, `${what}: isValid`);
    same(this.#queue.nextAvail, this.#model.nextAvail, `${what}: nextAvail`);
    same(this.#queue.nextUsed, this.#model.nextUsed, `${what}: nextUsed`);
    same(this.#queue.availIdx(), this.#model.availIdx(), `${what}: availIdx`);
    same(this.#queue.usedIdx(), this.#model.usedIdx(), `${what}: usedIdx`);
    same(this.#queue.inFlightCount, this.#model.inFlight.size, `${what}: inFlightCount`);
  }

  #pop(max: number): void {
    let popped = 0;
    while (popped < max) {
      const { chains, fault } = this.#popReal(max - popped);
      for (const [i, real] of chains.entries()) {
        const expected = this.#model.pop();
        if (expected === undefined || typeof expected === 'string') {
          throw new Error(`pop ${popped + i}: head ${real.head}, not ${expected}`);
        }
        this.#sameChain(real, expected);
      }
      popped += chains.length;
      if (chains.length === 0) {
        same(fault, this.#model.pop(), `pop ${popped}`);
        return;
      }
    }
  }

  #popReal(max: number): { chains: DescriptorChain[]; fault?: string } {
    try {
      if (this.#face === 'plain') {
        const chain = this.#queue.popDescriptorChain();
        return { chains: chain === undefined ? [] : [chain] };
      }
      const batch = this.#queue.popBatch(max);
      const chains = Array.from({ length: batch.count }, (_, i) => {
        const chain = this.#queue.chainOf(batch, i);
        this.#sameHeader(chain, (word) => batch.headerWord(i, word));
        return chain;
      });
      return { chains };
    } catch (error) {
      return { chains: [], fault: codeOf(error) };
    }
  }

  #sameHeader({ head, readableBytes }: DescriptorChain, word: (at: number) => number): void {
    const bytes = Math.min(readableBytes, HEADER_BYTES);
    const words = Uint32Array.from({ length: 12 }, (_, i) => word(i));
    const header = new Uint8Array(words.buffer);
    same(
      header.subarray(bytes).every((byte) => byte === 0),
      true,
      `header of ${head}: zeroes`,
    );
    this.#headers.set(head, header.slice(0, bytes));
  }

  readonly #headers = new Map<number, Uint8Array>();

  #sameChain(real: DescriptorChain, model: ModelChain): void {
    const { image } = this.#model;
    same(real.head, model.head, 'head');
    same(real.readableBytes, model.readable.length, `head ${real.head}: readable`);
    same(real.writableBytes, model.writable.length, `head ${real.head}: writable`);
    const content = Uint8Array.from(model.readable, (at) => image.bytes[at] as number);
    same(Buffer.compare(real.reader.bytes(real.readableBytes), content), 0, 'content');
    const header = this.#headers.get(real.head);
    if (header !== undefined) {
      same(Buffer.compare(header, content.subarray(0, header.byteLength)), 0, 'header');
      this.#headers.delete(real.head);
    }
    this.#chains.set(real.head, { chain: real, written: 0 });
  }

  /** One of the heads that can be given back. */
  #open(which: number): number | undefined {
    const heads = this.#model.openHeads();
    return heads[which % heads.length];
  }

  #write(which: number, bytes: number): void {
    const head = this.#open(which);
    const open = head === undefined ? undefined : this.#chains.get(head);
    if (head === undefined || open === undefined) {
      return;
    }
    const data = Uint8Array.from({ length: bytes }, () => this.#counter++ & 0xff);
    const room = this.#model.open(head)?.writable.slice(open.written) ?? [];
    const count = Math.min(bytes, room.length);
    for (let i = 0; i < count; i++) {
      this.#model.image.bytes[room[i] as number] = data[i] as number;
    }
    same(open.chain.writer.writeSome(data), count, 'written');
    open.written += count;
  }

  #complete(which: number): void {
    const head = this.#open(which);
    const open = head === undefined ? undefined : this.#chains.get(head);
    if (head !== undefined && open !== undefined) {
      // Only once: a chain object whose completion failed says COMPLETED.
      this.#chains.delete(head);
      this.#giveBack([[head, open.written]], () => open.chain.complete());
    }
  }

  #used(heads: readonly number[], bytes: number): void {
    const list = heads.map((head): Used => [head, bytes]);
    this.#giveBack(list, () => {
      if (this.#face === 'plain') {
        for (const [head, written] of list) {
          this.#queue.addUsed(head, written);
        }
        return;
      }
      for (const [head, written] of list) {
        this.#queue.pushUsed(head, written);
      }
      this.#queue.publishUsed();
    });
  }

  #giveBack(list: readonly Used[], act: () => void): void {
    if (list.length === 0) {
      return;
    }
    let expected: string | undefined;
    // The plain face shows each by itself; that is one after another for the model, too.
    const portions = this.#face === 'plain' ? list.map((one) => [one]) : [list];
    for (const portion of portions) {
      const added = expected === undefined ? this.#model.addUsed(portion) : 0;
      if (typeof added === 'string') {
        expected = added;
      } else if (expected === undefined && added < portion.length) {
        expected = 'NOT_IN_FLIGHT';
      }
    }
    same(codeThrown(act), expected, 'giving back');
  }

  #previous(): void {
    const expected = this.#model.goToPrevious() ? undefined : 'NOT_IN_FLIGHT';
    same(
      codeThrown(() => this.#queue.goToPreviousPosition()),
      expected,
      'previous',
    );
  }
}

function codeThrown(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof QueueError)) {
    throw error;
  }
  return error.code;
}

function same(real: unknown, model: unknown, what: string): void {
  if (real !== model) {
    throw new Error(`${what}: ${real}, not ${model}`);
  }
}

/** Somewhere in the two regions that adjoin, behind the rings. */
function goodAddress(choice: number, bytes: number): bigint {
  return BigInt(DATA_GUEST + (choice % (DATA_BYTES - bytes + 1)));
}

function anyAddress(choice: number, packed: boolean): bigint {
  const at = choice >> 3;
  switch (choice & 7) {
    case 0:
      // The rings themselves (RG-034). Of a packed ring the device would rewrite what it has seen.
      return packed ? goodAddress(at, 64) : BigInt(BASE + (at % 0x400));
    case 1:
      return BigInt(BASE + 3 * PAGE - 32 + (at % 64));
    case 2:
      return BigInt(BASE + 4 * PAGE - 32 + (at % 64));
    case 3:
      return 2n ** 64n - BigInt(at % 64) - 1n;
    case 4:
      return BigInt(BASE - 32 + (packed ? 0 : at % 64));
    default:
      return goodAddress(at, 64);
  }
}
