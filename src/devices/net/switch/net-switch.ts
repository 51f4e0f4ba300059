// The control half of a switch: its cards, and what they share.

import type { DataHalf } from '../../../core/device.js';
import { CaptureFile } from '../capture/capture-file.js';
import { NetCounters, type QueueCounts } from '../counters.js';
import { type OpenedHostEnd, openHostEnd } from '../open-host-end.js';
import { SwitchCard } from './card.js';
import type { SwitchHandlerOptions } from './handler.js';
import { parseUplink, type SwitchOptions } from './options.js';
import { QUEUES_PER_PORT, type SwitchPortOptions } from './switch-port.js';

export class NetSwitch {
  readonly cards: readonly SwitchCard[];
  readonly #options: SwitchOptions;
  readonly #capture: CaptureFile | undefined;
  readonly #uplink: OpenedHostEnd | undefined;
  readonly #uplinkCounters = new NetCounters(QUEUES_PER_PORT);

  /** Throws HostEndError. */
  constructor(options: SwitchOptions, notice: (message: string) => void = () => {}) {
    this.#options = options;
    const { pcap: path, pcapLimitMib, ports, uplink } = options;
    const outside = uplink === undefined ? undefined : parseUplink(uplink);
    const interfaces = ports.map(({ label }) => label);
    if (outside !== undefined) {
      interfaces.push('uplink');
    }
    const limitBytes = pcapLimitMib * 2 ** 20;
    this.#capture =
      path === undefined
        ? undefined
        : new CaptureFile({ path, limitBytes, interfaces, rings: 1, notice });
    this.#uplink = outside === undefined ? undefined : openHostEnd(outside);
    this.cards = ports.map(
      ({ label, mac }) => new SwitchCard(label, { ...options, mac }, () => this.dataHalf()),
    );
  }

  /** Of the one worker in which all guests' rings are. */
  dataHalf(): DataHalf {
    const { ports, ageS, stormPerSecond, queueSize } = this.#options;
    const guests: SwitchPortOptions[] = ports.map(({ vlans, isolated }, i) => ({
      vlans: vlans as SwitchPortOptions['vlans'],
      isolated,
      stormPerSecond,
      queueSize,
      counters: (this.cards[i] as SwitchCard).counters.buffer,
    }));
    const outside: SwitchPortOptions = {
      ...{ vlans: { kind: 'any' }, isolated: false, stormPerSecond, queueSize, outside: true },
      counters: this.#uplinkCounters.buffer,
    };
    const options: SwitchHandlerOptions = {
      ports: this.#uplink === undefined ? guests : [...guests, outside],
      uplink: this.#uplink?.host,
      ageS,
      capture: this.#capture?.shared,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  /** Frames to the outside (0) and from there (1); undefined: there is no uplink. */
  uplinkCounts(queue: number): QueueCounts | undefined {
    return this.#uplink === undefined ? undefined : this.#uplinkCounters.of(queue);
  }

  async close(): Promise<void> {
    this.#uplink?.close();
    await this.#capture?.close();
  }
}
