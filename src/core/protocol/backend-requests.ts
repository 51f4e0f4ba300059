// All requests a back-end can send to its front-end, on the socket of SET_BACKEND_REQ_FD.
// crosvm adds private ids from 1002 on; no row may take one of those.

import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VIRTIO_F_ACCESS_PLATFORM,
} from './features.js';
import { ACK, always, NACK, NO_FDS, ONE_FD, OPTIONAL_FD, request } from './request-rules.js';

const CHANNEL = VHOST_USER_PROTOCOL_F_BACKEND_REQ;
const CHANNEL_WITH_FDS = CHANNEL | VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD;

export const BACKEND_REQUESTS = [
  request(1, 'IOTLB_MSG', 'iotlb', {
    reply: ACK,
    needs: CHANNEL,
    feature: { mask: VIRTIO_F_ACCESS_PLATFORM, state: 'acked' },
    clause: 'a translation is missing (type 1) or lacks a permission (type 4)',
  }),
  request(2, 'CONFIG_CHANGE_MSG', 'none', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_CONFIG,
    clause: 'GET_CONFIG already returns the new bytes when this is sent',
  }),
  request(3, 'VRING_HOST_NOTIFIER_MSG', 'vringArea', {
    fds: { bounds: OPTIONAL_FD, of: ({ hasFd }) => (hasFd ? ONE_FD : NO_FDS) },
    reply: ACK,
    needs: CHANNEL_WITH_FDS | VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
    clause: 'a page to use as doorbell of the vring; without fd it is taken back',
  }),
  request(4, 'VRING_CALL', 'vringState', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
    clause: 'a call as a message',
  }),
  request(5, 'VRING_ERR', 'vringState', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
    clause: 'a vring error as a message',
  }),
  request(6, 'SHARED_OBJECT_ADD', 'sharedObject', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
    clause: 'this back-end exports the object of that UUID',
  }),
  request(7, 'SHARED_OBJECT_REMOVE', 'sharedObject', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
    clause: 'only the back-end that added an object may remove it',
  }),
  request(8, 'SHARED_OBJECT_LOOKUP', 'sharedObject', {
    reply: always('u64', NACK, OPTIONAL_FD),
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
    clause: 'the reply is 0 with the fd of the object, or non-zero without',
  }),
  request(9, 'SHMEM_MAP', 'shmemMap', {
    fds: ONE_FD,
    reply: ACK,
    needs: CHANNEL_WITH_FDS | VHOST_USER_PROTOCOL_F_SHMEM,
    clause: 'offsets are page-aligned; a range that is mapped already is refused',
  }),
  request(10, 'SHMEM_UNMAP', 'shmemMap', {
    reply: ACK,
    needs: CHANNEL | VHOST_USER_PROTOCOL_F_SHMEM,
    clause: 'takes back one whole earlier mapping',
  }),
] as const;
