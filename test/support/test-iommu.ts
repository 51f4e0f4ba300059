// The IOMMU of a test's machine: pages by number, misses of the back-end answered from them, each
// update and invalidation counted. Requests on the main channel go one at a time, these too.

import { Connection } from '../../src/core/connection/connection.js';
import {
  decodeBackendMessage,
  IOTLB_PERM_READ_WRITE,
  IOTLB_TYPE_INVALIDATE,
  IOTLB_TYPE_MISS,
  IOTLB_TYPE_UPDATE,
  type IotlbMessage,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import type { TestFrontend } from '../../src/testing/index.js';
import { socketPair } from './resources.js';

export const PAGE_BYTES = 4096;

export class TestIommu {
  /** Everything the back-end said, in order. */
  readonly heard: IotlbMessage[] = [];
  /** Misses are answered only while this is true. */
  answering = true;
  /** Permission of a page that is not in `pages`. */
  perm = IOTLB_PERM_READ_WRITE;
  readonly #frontend: TestFrontend;
  readonly #connection: Connection;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(frontend: TestFrontend, fd: number) {
    this.#frontend = frontend;
    this.#connection = new Connection(fd);
    void this.#listen();
  }

  static async attach(frontend: TestFrontend): Promise<TestIommu> {
    const [ours, theirs] = socketPair();
    const iommu = new TestIommu(frontend, ours);
    await iommu.exclusively(() => frontend.frontend.setBackendReqFd(theirs));
    native.fdClose(theirs);
    return iommu;
  }

  get misses(): IotlbMessage[] {
    return this.heard.filter(({ type }) => type === IOTLB_TYPE_MISS);
  }

  /** Runs requests on the main channel while no translation is on its way there. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** The answer to one IOTLB_MSG: 0n is yes. */
  tell(message: Partial<IotlbMessage>): Promise<bigint> {
    const { frontend } = this.#frontend;
    const whole = { iova: 0n, sizeBytes: 0n, userAddress: 0n, perm: 0, type: 0, ...message };
    return this.exclusively(() => frontend.request('IOTLB_MSG', whole) as Promise<bigint>);
  }

  /** Tells of the page that holds an I/O address. */
  update(iova: bigint, perm = this.perm, pages = 1): Promise<bigint> {
    const { memory } = this.#frontend;
    const page = iova - (iova % BigInt(PAGE_BYTES));
    const offset = memory.offsetOfIo(page);
    if (offset === undefined) {
      throw new RangeError(`I/O address ${iova.toString(16)} leads nowhere`);
    }
    const userAddress = memory.userBase + BigInt(offset);
    const sizeBytes = BigInt(PAGE_BYTES * pages);
    return this.tell({ type: IOTLB_TYPE_UPDATE, iova: page, sizeBytes, userAddress, perm });
  }

  invalidate(iova: bigint, sizeBytes: bigint): Promise<bigint> {
    return this.tell({ type: IOTLB_TYPE_INVALIDATE, iova, sizeBytes });
  }

  close(): void {
    this.#connection.close();
  }

  async #listen(): Promise<void> {
    for (;;) {
      const message = await this.#connection.receive().catch(() => undefined);
      if (message === undefined) {
        return;
      }
      const { payload } = decodeBackendMessage({
        header: message.header,
        payload: message.payload,
        fdCount: 0,
        protocolFeatures: 0n,
      });
      const said = payload as IotlbMessage;
      this.heard.push(said);
      if (this.answering && said.type === IOTLB_TYPE_MISS) {
        // Refusals and the end of the connection are the test's to see elsewhere.
        void this.update(said.iova).catch(() => {});
      }
    }
  }
}
