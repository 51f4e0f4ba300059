// A spawned `vhost-ts vsock` with several guests, each our front-end with a vsock driver on it.

import { join } from 'node:path';
import type { Test } from 'tap';
import {
  DaemonProcess,
  type GuestSocket,
  TestFrontend,
  VSOCK_RST,
  VSOCK_SHUTDOWN,
  VSOCK_STREAM,
  VsockDriver,
  type VsockDriverOptions,
} from '../../src/testing/index.js';
import { temporaryDirectory } from './resources.js';

/** What `pair` connects to. */
export const SIBLING_PORT = 80;
export const SHUTDOWN_BOTH = 3;

export interface SiblingScene {
  readonly daemon: DaemonProcess;
  readonly directory: string;
  /** A session of the guest with this CID that lasts as long as the test. */
  guest(t: Test, guestCid: number, options?: VsockDriverOptions): Promise<VsockDriver>;
}

/** `groups`: of each CID, with a + between them, or none. */
export async function siblingScene(
  t: Test,
  groups: Readonly<Record<number, string>>,
  args: (directory: string) => readonly string[] = () => [],
): Promise<SiblingScene> {
  const directory = temporaryDirectory(t);
  const socketOf = (cid: number) => join(directory, `g${cid}`);
  const guests = Object.entries(groups).flatMap(([cid, names]) => {
    const group = names === '' ? '' : `,group=${names}`;
    return ['--guest', `${socketOf(Number(cid))},cid=${cid}${group}`];
  });
  const last = Math.max(...Object.keys(groups).map(Number));
  const daemon = new DaemonProcess(['vsock', ...args(directory), ...guests], socketOf(last));
  t.teardown(() => daemon.stop());
  await daemon.ready();
  return {
    daemon,
    directory,
    guest: async (t, guestCid, options = {}) => {
      const frontend = await TestFrontend.start({ socket: socketOf(guestCid), queues: 3 });
      t.teardown(() => frontend.close());
      return new VsockDriver(frontend, { guestCid, receiveBytes: 65_536 + 44, ...options });
    },
  };
}

/** A connection of one to the other. */
export async function pair(
  from: VsockDriver,
  to: VsockDriver,
  guestPort: number,
  type = VSOCK_STREAM,
) {
  const [ours, theirs] = await Promise.all([
    from.connect(guestPort, SIBLING_PORT, type, to.guestCid),
    to.accept(),
  ]);
  return { ours, theirs };
}

/** Its peer has left; the two directions may end one after the other. */
export async function left(driver: VsockDriver, socket: GuestSocket): Promise<void> {
  for (;;) {
    const { flags, dstPort } = await driver.packetOf(VSOCK_SHUTDOWN);
    if (flags === SHUTDOWN_BOTH && dstPort === socket.guestPort) {
      break;
    }
  }
  await driver.say(socket, VSOCK_RST);
}
