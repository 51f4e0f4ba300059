// The operations a handler can order, for devices: they see this folder, not the native facade.

import { exchange } from '../../native/index.js';

export const {
  OP_READ,
  OP_WRITE,
  OP_SEND,
  OP_RECEIVE,
  FLAG_ADD_BYTES,
  FLAG_ARENA,
  FLAG_COMPLETE,
  FLAG_DURABLE,
  FLAG_MERGE,
  FLAG_MESSAGE,
  FLAG_NOTIFY,
  FLAG_SOCKET,
  FLAG_STEER,
  FRAME_LIST_WORDS,
  FRAME_REPORT_BYTES,
  FRAME_REPORT_CHAINS,
  FRAME_REPORT_DROPPED,
  FRAME_REPORT_FILTERED,
  FRAME_REPORT_FRAMES,
  FRAME_REPORT_WORDS,
  NO_CHAIN,
} = exchange;
