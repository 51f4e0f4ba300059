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
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_NOTF_COAL,
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
  state.change(() => {
    state.pairs = wanted;
  });
  return true;
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
