// All requests a front-end can send to a back-end, one row each. Codec, dispatcher, tracer,
// documentation and test lists derive from this table; nothing repeats it.

import {
  hasFeature,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_RARP,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VHOST_USER_PROTOCOL_F_STATUS,
  VIRTIO_F_ACCESS_PLATFORM,
} from './features.js';
import { MEM_TABLE_REGIONS_MAX } from './memory-payloads.js';
import {
  ACK,
  always,
  type FdRule,
  NACK,
  NO_FDS,
  ONE_FD,
  OPTIONAL_FD,
  request,
} from './request-rules.js';

/** One fd unless the NOFD bit of the vring word says that none comes. */
const VRING_FD: FdRule<'vringFd'> = {
  bounds: OPTIONAL_FD,
  of: ({ hasFd }) => (hasFd ? ONE_FD : NO_FDS),
};

const REGION_FDS: FdRule<'memTable'> = {
  bounds: { min: 0, max: MEM_TABLE_REGIONS_MAX },
  of: ({ regions }) => ({ min: regions.length, max: regions.length }),
};

const LOG_FD: FdRule<'logBase'> = {
  bounds: OPTIONAL_FD,
  of: ({ form }, protocolFeatures) =>
    form === 'area' && hasFeature(protocolFeatures, VHOST_USER_PROTOCOL_F_LOG_SHMFD)
      ? ONE_FD
      : NO_FDS,
};

/** Low byte: the error. Bit 8: no fd comes back, which is true of every refusal. */
const DEVICE_STATE_NACK = 0x101n;

export const FRONTEND_REQUESTS = [
  request(1, 'GET_FEATURES', 'none', {
    reply: always('u64', 'close'),
    clause: 'legal at any time; front-ends without REPLY_ACK use it as a barrier',
  }),
  request(2, 'SET_FEATURES', 'u64', {
    reply: ACK,
    clause: 'legal while vrings run, which it never stops; without bit 30 it enables all vrings',
  }),
  request(3, 'SET_OWNER', 'none', {
    reply: ACK,
    clause: 'begins a session; one that begins anew, with no vring running, has no memory yet',
  }),
  request(4, 'RESET_OWNER', 'none', {
    reply: ACK,
    clause: 'deprecated; at most it disables all vrings',
  }),
  request(5, 'SET_MEM_TABLE', 'memTable', {
    fds: REGION_FDS,
    reply: ACK,
    clause: 'replaces the whole table; one fd a region in the same order',
  }),
  request(6, 'SET_LOG_BASE', 'logBase', {
    fds: LOG_FD,
    reply: {
      when: VHOST_USER_PROTOCOL_F_LOG_SHMFD,
      payload: 'u64',
      fds: NO_FDS,
      refusal: NACK,
    },
    clause: 'with LOG_SHMFD the log is an fd and a reply is due; its content varies by back-end',
  }),
  request(7, 'SET_LOG_FD', 'none', {
    fds: ONE_FD,
    reply: ACK,
    clause: 'eventfd to signal after writing to the log',
  }),
  request(8, 'SET_VRING_NUM', 'vringState', {
    reply: ACK,
    clause: 'sets the size of a stopped vring',
  }),
  request(9, 'SET_VRING_ADDR', 'vringAddr', {
    reply: ACK,
    clause: 'sets the ring addresses; on a started vring only the log flag may change',
  }),
  request(10, 'SET_VRING_BASE', 'vringState', {
    reply: ACK,
    clause: 'split: next avail index; packed: avail and used index, each with its wrap counter',
  }),
  request(11, 'GET_VRING_BASE', 'vringState', {
    reply: always('vringState', 'close'),
    clause: 'stops the vring, waits for what is in flight, then answers where it stopped',
  }),
  request(12, 'SET_VRING_KICK', 'vringFd', {
    fds: VRING_FD,
    reply: ACK,
    clause: 'the vring starts with the first kick; without fd the back-end polls',
  }),
  request(13, 'SET_VRING_CALL', 'vringFd', {
    fds: VRING_FD,
    reply: ACK,
    clause: 'may change while the vring runs; without fd the driver polls',
  }),
  request(14, 'SET_VRING_ERR', 'vringFd', {
    fds: VRING_FD,
    reply: ACK,
    clause: 'fd to signal when the vring is broken',
  }),
  request(15, 'GET_PROTOCOL_FEATURES', 'none', {
    reply: always('u64', 'close'),
    feature: { mask: VHOST_USER_F_PROTOCOL_FEATURES, state: 'offered' },
    clause: 'legal once bit 30 was offered, acknowledged or not',
  }),
  request(16, 'SET_PROTOCOL_FEATURES', 'u64', {
    reply: ACK,
    feature: { mask: VHOST_USER_F_PROTOCOL_FEATURES, state: 'offered' },
    clause: 'takes effect at once, before SET_FEATURES',
  }),
  request(17, 'GET_QUEUE_NUM', 'none', {
    reply: always('u64', 'close'),
    needs: VHOST_USER_PROTOCOL_F_MQ,
    clause: 'how many queues the back-end supports; for net some front-ends count pairs',
  }),
  request(18, 'SET_VRING_ENABLE', 'vringState', {
    reply: ACK,
    // QEMU's net sends it before its first SET_FEATURES.
    feature: { mask: VHOST_USER_F_PROTOCOL_FEATURES, state: 'offered' },
    clause: 'enables (1) or disables (0) a vring; remembered while it is stopped',
  }),
  request(19, 'SEND_RARP', 'u64', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_RARP,
    clause: 'announces the MAC address in the six low bytes to the network',
  }),
  request(20, 'NET_SET_MTU', 'u64', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_MTU,
    clause: 'the MTU the driver was told of; QEMU sends it before SET_FEATURES',
  }),
  request(21, 'SET_BACKEND_REQ_FD', 'none', {
    fds: ONE_FD,
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_BACKEND_REQ,
    clause: 'socket for requests of the back-end; a second one replaces the first',
  }),
  request(22, 'IOTLB_MSG', 'iotlb', {
    reply: always('u64', NACK),
    feature: { mask: VIRTIO_F_ACCESS_PLATFORM, state: 'acked' },
    clause: 'updates or invalidates translations of I/O addresses',
  }),
  request(23, 'SET_VRING_ENDIAN', 'vringState', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
    clause: 'legacy devices: byte order of a vring, 0 little, 1 big',
  }),
  request(24, 'GET_CONFIG', 'config', {
    reply: always('config', 'empty'),
    needs: VHOST_USER_PROTOCOL_F_CONFIG,
    clause: 'the reply has the length of the request; an empty payload reports an error',
  }),
  request(25, 'SET_CONFIG', 'config', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_CONFIG,
    clause: 'read-only fields change by live migration only',
  }),
  request(26, 'CREATE_CRYPTO_SESSION', 'cryptoSession', {
    reply: always('cryptoSession', 'close'),
    needs: VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
    clause: 'the reply is the description with the session id, negative for failure',
  }),
  request(27, 'CLOSE_CRYPTO_SESSION', 'u64', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
    clause: 'ends the session of that id',
  }),
  request(28, 'POSTCOPY_ADVISE', 'none', {
    reply: always('none', 'empty', OPTIONAL_FD),
    needs: VHOST_USER_PROTOCOL_F_PAGEFAULT,
    clause: 'the reply carries a userfaultfd; without one the request failed',
  }),
  request(29, 'POSTCOPY_LISTEN', 'none', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_PAGEFAULT,
    clause: 'no region may be registered yet; those that follow answer with own addresses',
  }),
  request(30, 'POSTCOPY_END', 'none', {
    reply: always('u64', NACK),
    needs: VHOST_USER_PROTOCOL_F_PAGEFAULT,
    clause: 'the userfaultfd is closed before the reply',
  }),
  request(31, 'GET_INFLIGHT_FD', 'inflight', {
    reply: always('inflight', 'close', ONE_FD),
    needs: VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
    clause: 'the back-end allocates an area for the given queues; reply as long as the request',
  }),
  request(32, 'SET_INFLIGHT_FD', 'inflight', {
    fds: ONE_FD,
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
    clause: 'the area to record requests in, before any vring starts',
  }),
  request(33, 'GPU_SET_SOCKET', 'none', {
    fds: ONE_FD,
    reply: ACK,
    clause: 'socket for display commands of a GPU back-end',
  }),
  request(34, 'RESET_DEVICE', 'none', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_RESET_DEVICE,
    clause: 'disables all vrings and resets the device; the session goes on',
  }),
  request(35, 'VRING_KICK', 'vringState', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
    clause: 'a kick as a message, which starts the vring too',
  }),
  request(36, 'GET_MAX_MEM_SLOTS', 'none', {
    reply: always('u64', 'close'),
    needs: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
    clause: 'how many regions ADD_MEM_REG may have added at once',
  }),
  request(37, 'ADD_MEM_REG', 'singleRegion', {
    fds: ONE_FD,
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
    clause: 'adds one region to the memory table',
  }),
  request(38, 'REM_MEM_REG', 'singleRegion', {
    fds: OPTIONAL_FD,
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
    clause: 'matches guest address, user address and size; an fd that comes along is closed',
  }),
  request(39, 'SET_STATUS', 'u64', {
    reply: ACK,
    needs: VHOST_USER_PROTOCOL_F_STATUS,
    clause: 'the virtio device status, eight bits; 0 resets the device',
  }),
  request(40, 'GET_STATUS', 'none', {
    reply: always('u64', 'close'),
    needs: VHOST_USER_PROTOCOL_F_STATUS,
    clause: 'reads FEATURES_OK back as 0 when the features were refused',
  }),
  request(41, 'GET_SHARED_OBJECT', 'sharedObject', {
    reply: always('none', 'empty', OPTIONAL_FD),
    needs: VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
    clause: 'the reply carries the fd of the object, or none if it is not known',
  }),
  request(42, 'SET_DEVICE_STATE_FD', 'deviceState', {
    fds: ONE_FD,
    reply: always('u64', DEVICE_STATE_NACK, OPTIONAL_FD),
    needs: VHOST_USER_PROTOCOL_F_DEVICE_STATE,
    clause: 'only while all vrings are stopped; bit 8 of the reply: no fd comes back',
  }),
  request(43, 'CHECK_DEVICE_STATE', 'none', {
    reply: always('u64', NACK),
    needs: VHOST_USER_PROTOCOL_F_DEVICE_STATE,
    clause: 'after the end of a transfer: did it succeed',
  }),
  request(44, 'GET_SHMEM_CONFIG', 'none', {
    reply: always('shmemConfig', 'close'),
    needs: VHOST_USER_PROTOCOL_F_SHMEM,
    clause: 'shared memory regions of the device, fixed for the connection',
  }),
] as const;
