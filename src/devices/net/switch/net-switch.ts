// The control half of a switch: its cards, and what they share.

import type { DataHalf } from '../../../core/device.js';
import { CaptureFile } from '../capture/capture-file.js';
import { SwitchCard } from './card.js';
import type { SwitchHandlerOptions } from './handler.js';
import type { SwitchOptions } from './options.js';

export class NetSwitch {
  readonly cards: readonly SwitchCard[];
  readonly #options: SwitchOptions;
  readonly #capture: CaptureFile | undefined;

  /** Throws HostEndError. */
  constructor(options: SwitchOptions, notice: (message: string) => void = () => {}) {
    this.#options = options;
    const { pcap: path, pcapLimitMib, ports } = options;
    const interfaces = ports.map(({ label }) => label);
    const limitBytes = pcapLimitMib * 2 ** 20;
    this.#capture =
      path === undefined
        ? undefined
        : new CaptureFile({ path, limitBytes, interfaces, rings: 1, notice });
    this.cards = ports.map(({ label }) => new SwitchCard(label, options, () => this.dataHalf()));
  }

  /** Of the one worker in which all guests' rings are. */
  dataHalf(): DataHalf {
    const { ports, ageS, stormPerSecond, queueSize } = this.#options;
    const options: SwitchHandlerOptions = {
      ports: ports.map(({ vlans, isolated }, i) => ({
        vlans: vlans as SwitchHandlerOptions['ports'][number]['vlans'],
        isolated,
        stormPerSecond,
        queueSize,
        counters: (this.cards[i] as SwitchCard).counters.buffer,
      })),
      ageS,
      capture: this.#capture?.shared,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  async close(): Promise<void> {
    await this.#capture?.close();
  }
}
