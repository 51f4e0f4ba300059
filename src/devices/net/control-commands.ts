// The commands of the control queue (VIRTIO 1.3 §5.1.6.5): what each needs, how long it is, what it
// does to the state. Pure but for the state: bytes in, done or refused out.

import { hasFeature } from '../../core/protocol/index.js';
import type { ControlState } from './control-state.js';
import {
  CONTROL_HEADER_BYTES,
  MAC_BYTES,
  STATUS_ANNOUNCE,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_NOTF_COAL,
  VIRTIO_NET_F_RSS,
} from './format.js';
import {
  FILTER_ALL_MULTICAST,
  FILTER_ALL_UNICAST,
  FILTER_NO_BROADCAST,
  FILTER_NO_MULTICAST,
  FILTER_NO_UNICAST,
  FILTER_PROMISCUOUS,
  VLANS,
} from './frame-filter.js';
import { HASH_KEY_BYTES, HASH_QUEUES_MAX, HASH_TYPES, type HashRule } from './frame-hash.js';
import { GUEST_OFFLOADS } from './offload.js';
import { isStation } from './options.js';

/** The card a command is for. */
export interface ControlledCard {
  readonly state: ControlState;
  /** What was negotiated. */
  readonly features: bigint;
  /** Queue pairs there are. */
  readonly pairs: number;
}

interface ControlCommand {
  readonly feature: bigint;
  /** Of the data behind class and command; undefined: the command's own affair. */
  readonly bytes?: number;
  /** False: refused, and nothing has changed. */
  run(data: DataView, card: ControlledCard): boolean;
}

const OFFLOAD_BYTES = 8;
const COALESCING_BYTES = 8;
const COUNT_BYTES = 4;
/** VIRTIO 1.3 §5.1.6.5.6.4: types, and four reserved fields in front of the key. */
const HASH_CONFIG_BYTES = 4 + 4 * 2;
/** §5.1.6.5.7.1: types, mask and queue of the unclassified in front of the table. */
const RSS_CONFIG_BYTES = 4 + 2 + 2;

const COMMANDS: Readonly<Record<string, ControlCommand>> = {
  '0/0': receiveMode(VIRTIO_NET_F_CTRL_RX, FILTER_PROMISCUOUS),
  '0/1': receiveMode(VIRTIO_NET_F_CTRL_RX, FILTER_ALL_MULTICAST),
  '0/2': receiveMode(VIRTIO_NET_F_CTRL_RX_EXTRA, FILTER_ALL_UNICAST),
  '0/3': receiveMode(VIRTIO_NET_F_CTRL_RX_EXTRA, FILTER_NO_MULTICAST),
  '0/4': receiveMode(VIRTIO_NET_F_CTRL_RX_EXTRA, FILTER_NO_UNICAST),
  '0/5': receiveMode(VIRTIO_NET_F_CTRL_RX_EXTRA, FILTER_NO_BROADCAST),
  '1/0': { feature: VIRTIO_NET_F_CTRL_RX, run: setMacTable },
  '1/1': { feature: VIRTIO_NET_F_CTRL_MAC_ADDR, bytes: MAC_BYTES, run: setMac },
  '2/0': vlan(true),
  '2/1': vlan(false),
  '3/0': { feature: VIRTIO_NET_F_GUEST_ANNOUNCE, bytes: 0, run: acknowledgeAnnounce },
  '4/0': { feature: VIRTIO_NET_F_MQ, bytes: 2, run: setPairs },
  '4/1': { feature: VIRTIO_NET_F_RSS, run: setSteering },
  '4/2': { feature: VIRTIO_NET_F_HASH_REPORT, run: setHashRule },
  '5/0': {
    feature: VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
    bytes: OFFLOAD_BYTES,
    run: setOffloads,
  },
  '6/0': coalescing('transmit'),
  '6/1': coalescing('receive'),
};

/** Carries out one command, class and number in front. False: VIRTIO_NET_ERR. */
export function runControlCommand(bytes: Uint8Array, card: ControlledCard): boolean {
  const command = COMMANDS[`${bytes[0]}/${bytes[1]}`];
  const dataBytes = bytes.byteLength - CONTROL_HEADER_BYTES;
  if (command === undefined || !hasFeature(card.features, command.feature)) {
    return false;
  }
  if (dataBytes !== (command.bytes ?? dataBytes)) {
    return false;
  }
  const data = new DataView(bytes.buffer, bytes.byteOffset + CONTROL_HEADER_BYTES, dataBytes);
  return command.run(data, card);
}

function receiveMode(feature: bigint, flag: number): ControlCommand {
  const run = (data: DataView, { state }: ControlledCard) => {
    const on = data.getUint8(0);
    if (on > 1) {
      return false;
    }
    state.change(() => {
      const others = state.receiveMode & ~flag;
      state.receiveMode = on === 1 ? others | flag : others;
    });
    return true;
  };
  return { feature, bytes: 1, run };
}

/** Two tables, each behind its count. */
function setMacTable(data: DataView, { state }: ControlledCard): boolean {
  const unicast = macTableAt(data, 0);
  const multicast = unicast && macTableAt(data, unicast.end);
  if (unicast === undefined || multicast?.end !== data.byteLength) {
    return false;
  }
  state.change(() => state.setAddresses(unicast.addresses, multicast.addresses));
  return true;
}

/** Undefined: it does not lie within the data (NT-021). */
function macTableAt(
  data: DataView,
  at: number,
): { readonly addresses: Uint8Array[]; readonly end: number } | undefined {
  const first = at + COUNT_BYTES;
  if (first > data.byteLength) {
    return undefined;
  }
  const count = data.getUint32(at, true);
  const end = first + count * MAC_BYTES;
  if (end > data.byteLength) {
    return undefined;
  }
  const addresses = Array.from({ length: count }, (_, i) => macAt(data, first + i * MAC_BYTES));
  return { addresses, end };
}

function macAt(data: DataView, at: number): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + at, MAC_BYTES);
}

function setMac(data: DataView, { state }: ControlledCard): boolean {
  const mac = macAt(data, 0);
  if (!isStation(mac)) {
    return false;
  }
  state.change(() => {
    state.mac = mac;
  });
  return true;
}

function vlan(wanted: boolean): ControlCommand {
  const run = (data: DataView, { state }: ControlledCard) => {
    const id = data.getUint16(0, true);
    if (id >= VLANS) {
      return false;
    }
    state.change(() => state.setVlan(id, wanted));
    return true;
  };
  return { feature: VIRTIO_NET_F_CTRL_VLAN, bytes: 2, run };
}

function acknowledgeAnnounce(_: DataView, { state }: ControlledCard): boolean {
  return state.setStatus(STATUS_ANNOUNCE, false) !== 0;
}

function setPairs(data: DataView, { state, pairs }: ControlledCard): boolean {
  const wanted = data.getUint16(0, true);
  if (wanted === 0 || wanted > pairs) {
    return false;
  }
  // Frames are dealt by the device's own rule again (§5.1.6.5.5).
  state.change(() => {
    state.pairs = wanted;
    state.setHash(state.hashRule, undefined);
  });
  return true;
}

function setHashRule(data: DataView, { state }: ControlledCard): boolean {
  const rule = hashRuleAt(data, HASH_CONFIG_BYTES);
  if (rule === undefined) {
    return false;
  }
  state.change(() => state.setHash(rule, state.steering));
  return true;
}

/** Behind the table: how many pairs the driver sends on, then the key. */
function setSteering(data: DataView, { state, pairs }: ControlledCard): boolean {
  if (data.byteLength < RSS_CONFIG_BYTES) {
    return false;
  }
  const length = data.getUint16(4, true) + 1;
  const unclassified = data.getUint16(6, true);
  const end = RSS_CONFIG_BYTES + 2 * length;
  const powerOfTwo = (length & (length - 1)) === 0;
  if (!powerOfTwo || length > HASH_QUEUES_MAX || data.byteLength < end + 2) {
    return false;
  }
  const queues = Uint16Array.from({ length }, (_, i) =>
    data.getUint16(RSS_CONFIG_BYTES + 2 * i, true),
  );
  const transmits = data.getUint16(end, true);
  const rule = hashRuleAt(data, end + 2);
  const used = 1 + Math.max(unclassified, ...queues);
  if (rule === undefined || used > pairs || transmits === 0 || transmits > pairs) {
    return false;
  }
  state.change(() => {
    state.setHash(rule, { queues, unclassified });
    state.pairs = Math.max(used, transmits);
  });
  return true;
}

/** The types at the beginning of the data and the key, behind its length, at its end; undefined:
 *  they are not what was offered. A short key goes on with zeroes. */
function hashRuleAt(data: DataView, at: number): HashRule | undefined {
  if (at >= data.byteLength) {
    return undefined;
  }
  const types = data.getUint32(0, true);
  const keyBytes = data.getUint8(at);
  if (keyBytes > HASH_KEY_BYTES || at + 1 + keyBytes !== data.byteLength) {
    return undefined;
  }
  const key = new Uint8Array(data.buffer, data.byteOffset + at + 1, keyBytes).slice();
  return (types & ~HASH_TYPES) === 0 ? { types, key } : undefined;
}

function setOffloads(data: DataView, { state, features }: ControlledCard): boolean {
  const wanted = data.getBigUint64(0, true);
  if ((wanted & ~(features & GUEST_OFFLOADS)) !== 0n) {
    return false;
  }
  state.change(() => {
    state.offloads = wanted;
  });
  return true;
}

function coalescing(direction: 'transmit' | 'receive'): ControlCommand {
  const run = (data: DataView, { state }: ControlledCard) => {
    const maxPackets = data.getUint32(0, true);
    const maxUsecs = data.getUint32(4, true);
    state.change(() => state.setCoalescing(direction, { maxPackets, maxUsecs }));
    return true;
  };
  return { feature: VIRTIO_NET_F_NOTF_COAL, bytes: COALESCING_BYTES, run };
}
