// A device under test: served in this process to the test front-end, and held against the trait's
// contract.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DefinedDevice } from '../author/definition.js';
import { Daemon, type Log, listenOnPath, type VirtioDevice } from '../core/index.js';
import { hasFeature, VIRTIO_F_IN_ORDER, VIRTIO_F_RING_PACKED } from '../core/protocol/index.js';
import { ChainDriver } from './chain-driver.js';
import { contractFaults } from './device-contract.js';
import { TestFrontend } from './test-frontend.js';

/** Small rings wrap early. */
const RING_SIZE = 64;

export interface TestDeviceOptions<Input> {
  /** The device's own. */
  readonly options?: Input;
  readonly workers?: number;
  /** `use` drives packed rings; default split ones. */
  readonly packed?: boolean;
  /** The driver of `use` relies on VIRTIO_F_IN_ORDER where the device offers it; default: not. */
  readonly inOrder?: boolean;
}

/**
 * Serves the device, lets `use` drive it, and holds it against the contract of the trait: its
 * answers, a session from negotiation to the end, memory that changes under running rings, rings
 * that drain, and a second session on rings of the other format. A sentence for each fault; none
 * when all is well. What `use` throws is thrown.
 *
 *     t.same(await testDevice(entropy, async (driver) => {
 *       const { usedBytes } = await driver.send(0, new Uint8Array(0), 64);
 *       t.equal(usedBytes, 64);
 *     }), []);
 */
export async function testDevice<Input>(
  device: DefinedDevice<Input> | VirtioDevice,
  use: (driver: ChainDriver) => Promise<void> = async () => {},
  { options, workers = 1, packed = false, inOrder = false }: TestDeviceOptions<Input> = {},
): Promise<string[]> {
  const served = 'create' in device ? device.create(options) : device;
  const faults = contractFaults(served);
  if (faults.length > 0) {
    return faults;
  }
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  const socket = join(directory, 's');
  const daemon = new Daemon({
    device: served,
    listener: listenOnPath(socket),
    log: faultLog(faults),
    workers: Math.min(workers, served.numQueues()),
    engine: 'io_uring',
    pollUs: 0,
    once: false,
  });
  const ended = daemon.run();
  // Told by the log already; a daemon that ends early refuses the front-end.
  ended.catch(() => {});
  try {
    await session(served, { socket, packed, inOrder, faults }, use);
    const other = { socket, packed: !packed, inOrder: !inOrder, faults };
    await session(served, other, async () => {});
  } finally {
    daemon.stop();
    await ended.catch(() => {});
    served.close?.();
    rmSync(directory, { recursive: true, force: true });
  }
  return faults;
}

interface SessionOptions {
  readonly socket: string;
  /** Where the device offers it. */
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly faults: string[];
}

async function session(
  device: VirtioDevice,
  { socket, packed, inOrder, faults }: SessionOptions,
  use: (driver: ChainDriver) => Promise<void>,
): Promise<void> {
  const frontend = new TestFrontend({
    socket,
    inOrder,
    packed: packed && hasFeature(device.features(), VIRTIO_F_RING_PACKED),
    queues: device.numQueues(),
    queueSize: Math.min(RING_SIZE, device.maxQueueSize()),
  });
  try {
    await frontend.negotiate();
    await answerFaults(device, frontend, faults);
    await frontend.startQueues();
    const driver = new ChainDriver(frontend);
    await use(driver);
    // Kept chains must come back, or the front-end waits for ever.
    await frontend.frontend.setMemTable([frontend.memory.region], [frontend.memory.fd]);
    await frontend.stopQueues();
    if (driver.pending > 0) {
      faults.push(`${driver.pending} chains did not come back when their rings were stopped`);
    }
  } finally {
    frontend.close();
  }
}

/** What goes over the wire is what the device says. */
async function answerFaults(
  device: VirtioDevice,
  { frontend, features }: TestFrontend,
  faults: string[],
): Promise<void> {
  // The front-end takes these only when it is to use them.
  const offered = device.features() & ~(VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER);
  if ((features & offered) !== offered) {
    faults.push('GET_FEATURES does not answer features()');
  }
  if ((await frontend.getQueueNum()) !== BigInt(device.queueNumAnswer?.() ?? device.numQueues())) {
    faults.push('GET_QUEUE_NUM does not answer numQueues()');
  }
  const told = device.getConfig?.(0, 8) ?? new Uint8Array(0);
  const got = await frontend.getConfig(0, 8);
  if (Buffer.compare(got.subarray(0, told.byteLength), told) !== 0) {
    faults.push('GET_CONFIG does not answer getConfig()');
  }
}

/** A device in order gives no reason for a warning. */
function faultLog(faults: string[]): Log {
  const take = (fields: Readonly<Record<string, unknown>>, message: string) => {
    faults.push(`${message}: ${Object.values(fields).join(', ')}`);
  };
  return { error: take, warn: take, info: () => {}, debug: () => {} };
}
