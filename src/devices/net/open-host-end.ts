// Opens the host's end of a card, so that what can't be had is told at the start.

import { errnoName, native } from '../../native/index.js';
import {
  HEADER_BYTES,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_UFO,
  VIRTIO_NET_F_HOST_USO,
} from './format.js';
import type { HostEnd } from './host-end.js';
import { HostEndError, type HostEndErrorReason } from './host-end-error.js';
import { bindDatagram, listenStream } from './host-socket.js';
import { GUEST_OFFLOADS, GUEST_USO, tunOffload } from './offload.js';
import type { NetOptions } from './options.js';

export interface OpenedHostEnd {
  readonly host: HostEnd;
  /** What it can take off the driver, or give it. */
  readonly features: bigint;
  close(): void;
}

const HOST_OFFLOADS =
  VIRTIO_NET_F_CSUM |
  VIRTIO_NET_F_HOST_TSO4 |
  VIRTIO_NET_F_HOST_TSO6 |
  VIRTIO_NET_F_HOST_ECN |
  VIRTIO_NET_F_HOST_UFO;

/** What we do ourselves where frames leave without header (native/core/segmenter.h). */
const SEGMENTED =
  VIRTIO_NET_F_CSUM |
  VIRTIO_NET_F_HOST_TSO4 |
  VIRTIO_NET_F_HOST_TSO6 |
  VIRTIO_NET_F_HOST_ECN |
  VIRTIO_NET_F_HOST_USO;

export function openHostEnd(options: NetOptions): OpenedHostEnd {
  const { tap, tapFds, tapPersist, stream, streamListen, dgram, queuePairs } = options;
  if (tap !== undefined) {
    return openTap(tap, queuePairs, tapPersist);
  }
  if (tapFds !== undefined) {
    return adoptTap(tapFds);
  }
  if (stream !== undefined) {
    return { host: { kind: 'stream', path: stream }, features: SEGMENTED, close: () => {} };
  }
  if (streamListen !== undefined) {
    const { fd, close } = listenStream(streamListen);
    return {
      host: { kind: 'stream', path: streamListen, listenFd: fd },
      features: SEGMENTED,
      close,
    };
  }
  if (dgram !== undefined) {
    const [local, remote] = dgram;
    const { fd, close } = bindDatagram(local);
    return { host: { kind: 'datagram', fd, remote }, features: 0n, close };
  }
  // Nobody looks at what the driver sends: every offload is fine.
  const features = HOST_OFFLOADS | VIRTIO_NET_F_HOST_USO | GUEST_OFFLOADS;
  return { host: { kind: 'null' }, features, close: () => {} };
}

function openTap(name: string, queues: number, persistent: boolean): OpenedHostEnd {
  const fds: number[] = [];
  const close = () => {
    for (const fd of fds) {
      native.fdClose(fd);
    }
  };
  for (let queue = 0; queue < queues; queue++) {
    const fd = native.tapOpen(name, queues > 1, HEADER_BYTES);
    if (fd < 0) {
      close();
      throw tapError(`tap ${name}`, -fd);
    }
    fds.push(fd);
  }
  const kept = persistent ? native.tapSetPersistent(fds[0] as number, true) : 0;
  if (kept < 0) {
    close();
    throw tapError(`tap ${name}`, -kept);
  }
  return opened({ kind: 'tap', fds, name, persistent }, close);
}

function adoptTap(fds: readonly number[]): OpenedHostEnd {
  for (const fd of fds) {
    const result = native.tapAdopt(fd, HEADER_BYTES);
    if (result < 0) {
      throw tapError(`descriptor ${fd}`, -result);
    }
  }
  return opened({ kind: 'tap', fds }, () => {});
}

/** Queues of several wait detached until the driver can be given frames. */
function opened(host: HostEnd & { kind: 'tap' }, close: () => void): OpenedHostEnd {
  const first = host.fds[0] as number;
  const uso = native.tapSetOffload(first, tunOffload(GUEST_OFFLOADS)) === 0;
  native.tapSetOffload(first, 0);
  if (host.fds.length > 1) {
    for (const fd of host.fds) {
      native.tapSetQueue(fd, false);
    }
  }
  const large = uso ? GUEST_OFFLOADS | VIRTIO_NET_F_HOST_USO : GUEST_OFFLOADS & ~GUEST_USO;
  return { host, features: HOST_OFFLOADS | large, close };
}

const SENTENCES: Readonly<Record<string, readonly [HostEndErrorReason, string]>> = {
  EPERM: ['permission', 'needs CAP_NET_ADMIN, or a tap made for this user'],
  EACCES: ['permission', '/dev/net/tun may not be opened'],
  ENOENT: ['unusable', 'this kernel has no /dev/net/tun'],
  EBUSY: ['unusable', 'somebody else has it'],
  EINVAL: ['unusable', 'is no tap, or one with another number of queues'],
  ENOTSUP: ['unusable', 'is a tap opened without IFF_VNET_HDR'],
  ENOTTY: ['unusable', 'is no tap'],
  EBADF: ['unusable', 'is not open'],
};

function tapError(what: string, errno: number): HostEndError {
  const name = errnoName(errno);
  const [reason, sentence] = SENTENCES[name] ?? (['unusable', `can't be opened`] as const);
  return new HostEndError(reason, `${what}: ${sentence} (${name})`);
}
