// A port whose frames are shown to somebody who looks on. What the guest sends is shown here, what
// it gets where it is put into receive chains.

import { captureTag } from '../capture/shared-capture.js';
import type { Port, PortContext } from './port.js';

const NOTHING = new Uint8Array(0);

export class CapturedPort implements Port {
  readonly #port: Port;
  readonly #context: PortContext['context'];
  readonly #tag: number;

  /** `index`: number of the card in the capture. */
  constructor(port: Port, { context }: PortContext, index: number) {
    this.#port = port;
    this.#context = context;
    this.#tag = captureTag(index, false);
  }

  transmit(chain: number, offset: number, frameBytes: number, header: Uint32Array): void {
    this.#context.capture(this.#tag, NOTHING, chain, offset, frameBytes);
    this.#port.transmit(chain, offset, frameBytes, header);
  }

  announce(frame: Uint8Array): boolean {
    return this.#port.announce?.(frame) ?? false;
  }

  flush(): void {
    this.#port.flush?.();
  }

  pump(): void {
    this.#port.pump();
  }

  attach(attached: boolean): void {
    this.#port.attach(attached);
  }

  drain(queue: number): void {
    this.#port.drain?.(queue);
  }

  setOffload(offload: number): void {
    this.#port.setOffload?.(offload);
  }

  completion(chain: number, tag: number, result: number): void {
    this.#port.completion(chain, tag, result);
  }

  event(token: number, hungUp: boolean): void {
    this.#port.event(token, hungUp);
  }

  close(): void {
    this.#port.close();
  }
}
