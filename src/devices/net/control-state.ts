// What a driver has set through its control queue, and what the card tells it. The worker that has
// the control queue writes it, every worker and the control thread read it: shared memory with a
// count of changes, odd while one is being made.

import { hasFeature } from '../../core/protocol/index.js';
import {
  MAC_BYTES,
  STATUS_LINK_UP,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VLAN,
} from './format.js';
import {
  FILTER_ADDRESS_COUNT,
  FILTER_ADDRESSES,
  FILTER_ADDRESSES_MAX,
  FILTER_ALL_MULTICAST,
  FILTER_ALL_UNICAST,
  FILTER_FLAGS,
  FILTER_PROMISCUOUS,
  FILTER_TABLE_ADDRESSES_MAX,
  FILTER_VLAN_BITS,
  FILTER_VLANS,
  FILTER_WORDS,
} from './frame-filter.js';
import {
  HASH_KEY_BYTES,
  HASH_QUEUES_MAX,
  HASH_TYPES,
  type HashRule,
  type Steering,
} from './frame-hash.js';
import { isStation } from './options.js';

const VERSION = 0;
const PAIRS = 1;
const STATUS = 2;
const MTU = 3;
const OFFLOADS = 4; // two words
const COALESCING = 6; // four words
/** Two addresses of two words: the card's and the driver's. */
const CARD_MAC = 10;
const MAC = 12;
/** What the driver asked for, and what its long tables make of it. */
const RECEIVE_MODE = 14;
const OVERFLOW = 15;
/** The hash of frames: types, key; then, for steering, the length of the table (0: frames are not
 *  steered), the pair of frames without hash, and the table, two pairs in a word. */
const HASH_RULE = 16;
const HASH_KEY = HASH_RULE + 1;
const STEERING = HASH_KEY + HASH_KEY_BYTES / 4;
const UNCLASSIFIED = STEERING + 1;
const STEERING_TABLE = UNCLASSIFIED + 1;
/** The filter's table, on a multiple of eight bytes. */
const FILTER = 2 * Math.ceil((STEERING_TABLE + HASH_QUEUES_MAX / 2) / 2);
const WORDS = FILTER + FILTER_WORDS;
export const CONTROL_STATE_WORDS = WORDS;
/** Not the driver's: they stay where they are in a migration. */
const OF_THE_CARD = new Set([VERSION, STATUS, MTU, CARD_MAC, CARD_MAC + 1]);

const EVERY_OFFLOAD = ~0n;

/** VIRTIO 1.3 §5.1.6.5.7: notify after so many packets, or so long after the first. */
export interface Coalescing {
  readonly maxPackets: number;
  readonly maxUsecs: number;
}

export class ControlState {
  readonly buffer: ArrayBufferLike;
  readonly #words: Uint32Array;
  readonly #counts: Int32Array;
  readonly #bytes: Uint8Array;
  /** The table of native code. */
  readonly filter: Uint32Array;

  constructor(buffer: ArrayBufferLike = new SharedArrayBuffer(WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer);
    this.#counts = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.filter = new Uint32Array(buffer, FILTER * 4, FILTER_WORDS);
  }

  /** The state of a card with this address. */
  static create(mac: Uint8Array, mtu: number): ControlState {
    const state = new ControlState();
    state.#bytes.set(mac, CARD_MAC * 4);
    state.mtu = mtu;
    state.#counts[STATUS] = STATUS_LINK_UP;
    state.forget();
    return state;
  }

  /** A private state that copyTo fills. */
  static snapshot(): ControlState {
    return new ControlState(new ArrayBuffer(WORDS * 4));
  }

  /** What the driver has set is not known: another process may have been told. Whatever comes must
   *  reach it, on every queue. */
  forget(): void {
    this.#begin(FILTER_PROMISCUOUS, 0);
  }

  /** A new driver (VIRTIO 1.3 §5.1.6.5.5.1: one pair is in use), which gets everything until it
   *  says otherwise: turns promiscuous mode off, or, if it can't, names VLANs. */
  reset(features: bigint): void {
    const open = hasFeature(features, VIRTIO_NET_F_CTRL_RX)
      ? FILTER_PROMISCUOUS
      : FILTER_ALL_UNICAST | FILTER_ALL_MULTICAST;
    const vlans = hasFeature(features, VIRTIO_NET_F_CTRL_VLAN) ? FILTER_VLANS : 0;
    this.#begin(open | vlans, 1);
  }

  /** All of it, for `restore` in another process; only while nobody changes it. */
  save(): Uint32Array {
    return this.#words.slice();
  }

  /** What a driver has said to another process; false: none can have said that to a card with so
   *  many pairs, and nothing has changed. */
  restore(saved: Uint32Array, pairs: number): boolean {
    const theirs = new ControlState(saved.slice().buffer);
    if (saved.length !== WORDS || !theirs.#isPossible(pairs)) {
      return false;
    }
    this.change(() => {
      for (const [i, word] of saved.entries()) {
        if (!OF_THE_CARD.has(i)) {
          this.#words[i] = word;
        }
      }
    });
    return true;
  }

  #isPossible(pairs: number): boolean {
    const addresses = this.filter[FILTER_ADDRESS_COUNT] as number;
    const length = this.#words[STEERING] as number;
    if (length > HASH_QUEUES_MAX || (length & (length - 1)) !== 0) {
      return false;
    }
    const { queues, unclassified } = this.steering ?? { queues: [], unclassified: 0 };
    return (
      Math.max(unclassified, ...queues) < pairs &&
      (this.hashRule.types & ~HASH_TYPES) === 0 &&
      (this.pairs ?? 0) <= pairs &&
      isStation(this.mac) &&
      addresses > 0 &&
      addresses <= FILTER_ADDRESSES_MAX
    );
  }

  /** Everything `write` does is seen at once. One writer at a time: whoever has the control queue,
   *  or the control thread while no vring runs. */
  change(write: () => void): void {
    Atomics.add(this.#counts, VERSION, 1);
    write();
    Atomics.add(this.#counts, VERSION, 1);
  }

  get version(): number {
    return Atomics.load(this.#counts, VERSION);
  }

  /** False: it is being changed, and whoever does it will say when that is over. */
  copyTo(snapshot: ControlState): boolean {
    const before = this.version;
    snapshot.#words.set(this.#words);
    return (before & 1) === 0 && this.version === before;
  }

  /** Pairs the driver uses; undefined: all of them, for all that is known. */
  get pairs(): number | undefined {
    return this.#words[PAIRS] || undefined;
  }

  set pairs(pairs: number) {
    this.#words[PAIRS] = pairs;
  }

  /** Feature bits of the offloads the driver has not turned off. */
  get offloads(): bigint {
    const [low = 0, high = 0] = this.#words.subarray(OFFLOADS, OFFLOADS + 2);
    return (BigInt(high) << 32n) | BigInt(low);
  }

  set offloads(features: bigint) {
    this.#words[OFFLOADS] = Number(features & 0xffffffffn);
    this.#words[OFFLOADS + 1] = Number((features >> 32n) & 0xffffffffn);
  }

  get mac(): Uint8Array {
    return this.#bytes.slice(MAC * 4, MAC * 4 + MAC_BYTES);
  }

  set mac(mac: Uint8Array) {
    this.#bytes.set(mac, MAC * 4);
    this.#setAddress(0, mac);
  }

  /** 0: nobody has said. */
  get mtu(): number {
    return Atomics.load(this.#counts, MTU);
  }

  /** A change by itself, also while another is being made. */
  set mtu(mtu: number) {
    Atomics.store(this.#counts, MTU, mtu);
    Atomics.add(this.#counts, VERSION, 2);
  }

  get status(): number {
    return Atomics.load(this.#counts, STATUS);
  }

  /** Sets or clears bits of the status; those that were set before. Any thread may. */
  setStatus(bits: number, on: boolean): number {
    const before = on
      ? Atomics.or(this.#counts, STATUS, bits)
      : Atomics.and(this.#counts, STATUS, ~bits);
    return before & bits;
  }

  get receiveMode(): number {
    return this.#words[RECEIVE_MODE] as number;
  }

  set receiveMode(flags: number) {
    this.#words[RECEIVE_MODE] = flags;
    this.filter[FILTER_FLAGS] = flags | (this.#words[OVERFLOW] as number);
  }

  /** The addresses the driver listens to beside its own; more than the table takes: all. */
  setAddresses(unicast: readonly Uint8Array[], multicast: readonly Uint8Array[]): void {
    let count = 1;
    let overflow = 0;
    const add = (addresses: readonly Uint8Array[], all: number) => {
      if (addresses.length > FILTER_TABLE_ADDRESSES_MAX) {
        overflow |= all;
        return;
      }
      for (const address of addresses) {
        this.#setAddress(count++, address);
      }
    };
    add(unicast, FILTER_ALL_UNICAST);
    add(multicast, FILTER_ALL_MULTICAST);
    this.filter[FILTER_ADDRESS_COUNT] = count;
    this.#words[OVERFLOW] = overflow;
    this.receiveMode = this.receiveMode;
  }

  setVlan(id: number, wanted: boolean): void {
    const at = FILTER_VLAN_BITS + (id >>> 5);
    const bit = 1 << (id & 31);
    const bits = this.filter[at] as number;
    this.filter[at] = wanted ? bits | bit : bits & ~bit;
  }

  coalescing(direction: 'transmit' | 'receive'): Coalescing {
    const at = COALESCING + (direction === 'transmit' ? 0 : 2);
    const [maxPackets = 0, maxUsecs = 0] = this.#words.subarray(at, at + 2);
    return { maxPackets, maxUsecs };
  }

  setCoalescing(direction: 'transmit' | 'receive', { maxPackets, maxUsecs }: Coalescing): void {
    this.#words.set([maxPackets, maxUsecs], COALESCING + (direction === 'transmit' ? 0 : 2));
  }

  get hashRule(): HashRule {
    const key = this.#bytes.slice(HASH_KEY * 4, HASH_KEY * 4 + HASH_KEY_BYTES);
    return { types: this.#words[HASH_RULE] as number, key };
  }

  /** Undefined: the driver has not said where frames go. */
  get steering(): Steering | undefined {
    const length = this.#words[STEERING] as number;
    const queues = new Uint16Array(this.buffer, STEERING_TABLE * 4, length).slice();
    return length === 0 ? undefined : { queues, unclassified: this.#words[UNCLASSIFIED] as number };
  }

  setHash({ types, key }: HashRule, steering: Steering | undefined): void {
    this.#words[HASH_RULE] = types;
    this.#bytes.fill(0, HASH_KEY * 4, HASH_KEY * 4 + HASH_KEY_BYTES);
    this.#bytes.set(key, HASH_KEY * 4);
    this.#words[STEERING] = steering?.queues.length ?? 0;
    this.#words[UNCLASSIFIED] = steering?.unclassified ?? 0;
    const table = new Uint16Array(this.buffer, STEERING_TABLE * 4, HASH_QUEUES_MAX);
    table.fill(0);
    table.set(steering?.queues ?? []);
  }

  #begin(receiveMode: number, pairs: number): void {
    this.change(() => {
      this.setHash({ types: 0, key: new Uint8Array(0) }, undefined);
      this.filter.fill(0);
      this.#words[OVERFLOW] = 0;
      this.receiveMode = receiveMode;
      this.pairs = pairs;
      this.offloads = EVERY_OFFLOAD;
      this.setCoalescing('transmit', { maxPackets: 0, maxUsecs: 0 });
      this.setCoalescing('receive', { maxPackets: 0, maxUsecs: 0 });
      this.mac = this.#bytes.slice(CARD_MAC * 4, CARD_MAC * 4 + MAC_BYTES);
      this.filter[FILTER_ADDRESS_COUNT] = 1;
    });
  }

  #setAddress(index: number, mac: Uint8Array): void {
    const at = FILTER * 4 + (FILTER_ADDRESSES + 2 * index) * 4;
    this.#bytes.set(mac, at);
  }
}
