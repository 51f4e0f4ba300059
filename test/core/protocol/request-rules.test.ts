import t from 'tap';
import {
  type FdRange,
  FRONTEND_REQUESTS,
  type FrontendRequestName,
  fdBounds,
  frontendRequest,
  replyIsDue,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../src/core/protocol/index.js';

const REPLY_ACK = VHOST_USER_PROTOCOL_F_REPLY_ACK;
const LOG_SHMFD = VHOST_USER_PROTOCOL_F_LOG_SHMFD;

t.test('CS-058 CS-059 when a reply is due', (t) => {
  const rows: [FrontendRequestName, needReply: boolean, features: bigint, due: boolean][] = [
    ['GET_FEATURES', false, 0n, true],
    ['GET_FEATURES', true, REPLY_ACK, true],
    ['SET_FEATURES', false, 0n, false],
    ['SET_FEATURES', true, 0n, false],
    ['SET_FEATURES', false, REPLY_ACK, false],
    ['SET_FEATURES', true, REPLY_ACK, true],
    ['SET_LOG_BASE', false, 0n, false],
    ['SET_LOG_BASE', true, 0n, false],
    ['SET_LOG_BASE', true, REPLY_ACK, true],
    ['SET_LOG_BASE', false, LOG_SHMFD, true],
  ];
  for (const [name, needReply, features, due] of rows) {
    const what = `${name} NEED_REPLY ${needReply} features ${features}`;
    t.equal(replyIsDue(frontendRequest(name), needReply, features), due, what);
  }
  t.end();
});

t.test('fd bounds of every request', (t) => {
  const none: FdRange = { min: 0, max: 0 };
  const exceptions: Partial<Record<FrontendRequestName, FdRange>> = {
    SET_MEM_TABLE: { min: 0, max: 8 },
    SET_LOG_BASE: { min: 0, max: 1 },
    SET_LOG_FD: { min: 1, max: 1 },
    SET_VRING_KICK: { min: 0, max: 1 },
    SET_VRING_CALL: { min: 0, max: 1 },
    SET_VRING_ERR: { min: 0, max: 1 },
    SET_BACKEND_REQ_FD: { min: 1, max: 1 },
    SET_INFLIGHT_FD: { min: 1, max: 1 },
    GPU_SET_SOCKET: { min: 1, max: 1 },
    ADD_MEM_REG: { min: 1, max: 1 },
    REM_MEM_REG: { min: 0, max: 1 },
    SET_DEVICE_STATE_FD: { min: 1, max: 1 },
  };
  for (const row of FRONTEND_REQUESTS) {
    t.same(fdBounds(row), exceptions[row.name] ?? none, row.name);
  }
  t.end();
});
