import t from 'tap';
import {
  BACKEND_REQUESTS,
  backendRequest,
  backendRequestById,
  FRONTEND_REQUESTS,
  type FrontendRequestName,
  frontendRequest,
  frontendRequestById,
  PAYLOADS,
  type PayloadOf,
  type ReplyOf,
  type VringState,
} from '../../../src/core/protocol/index.js';

type Same<A, B> = [A, B] extends [B, A] ? true : false;
/** Compiles only while the payload types follow from the rows. */
const TYPES_FOLLOW: readonly [
  Same<PayloadOf<'SET_VRING_NUM'>, VringState>,
  Same<PayloadOf<'GET_FEATURES'>, undefined>,
  Same<ReplyOf<'GET_FEATURES'>, bigint>,
  Same<ReplyOf<'GET_VRING_BASE'>, VringState>,
  'SET_OWNER' extends FrontendRequestName ? true : false,
  string extends FrontendRequestName ? false : true,
] = [true, true, true, true, true, true];

const FRONTEND_NAMES = [
  ['GET_FEATURES', 'SET_FEATURES', 'SET_OWNER', 'RESET_OWNER', 'SET_MEM_TABLE', 'SET_LOG_BASE'],
  ['SET_LOG_FD', 'SET_VRING_NUM', 'SET_VRING_ADDR', 'SET_VRING_BASE', 'GET_VRING_BASE'],
  ['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR', 'GET_PROTOCOL_FEATURES'],
  ['SET_PROTOCOL_FEATURES', 'GET_QUEUE_NUM', 'SET_VRING_ENABLE', 'SEND_RARP', 'NET_SET_MTU'],
  ['SET_BACKEND_REQ_FD', 'IOTLB_MSG', 'SET_VRING_ENDIAN', 'GET_CONFIG', 'SET_CONFIG'],
  ['CREATE_CRYPTO_SESSION', 'CLOSE_CRYPTO_SESSION', 'POSTCOPY_ADVISE', 'POSTCOPY_LISTEN'],
  ['POSTCOPY_END', 'GET_INFLIGHT_FD', 'SET_INFLIGHT_FD', 'GPU_SET_SOCKET', 'RESET_DEVICE'],
  ['VRING_KICK', 'GET_MAX_MEM_SLOTS', 'ADD_MEM_REG', 'REM_MEM_REG', 'SET_STATUS', 'GET_STATUS'],
  ['GET_SHARED_OBJECT', 'SET_DEVICE_STATE_FD', 'CHECK_DEVICE_STATE', 'GET_SHMEM_CONFIG'],
].flat();

const BACKEND_NAMES = [
  ['IOTLB_MSG', 'CONFIG_CHANGE_MSG', 'VRING_HOST_NOTIFIER_MSG', 'VRING_CALL', 'VRING_ERR'],
  ['SHARED_OBJECT_ADD', 'SHARED_OBJECT_REMOVE', 'SHARED_OBJECT_LOOKUP', 'SHMEM_MAP'],
  ['SHMEM_UNMAP'],
].flat();

t.test('ids run without a gap and carry the names of the document', (t) => {
  t.same(
    FRONTEND_REQUESTS.map(({ id, name }) => [id, name]),
    FRONTEND_NAMES.map((name, i) => [i + 1, name]),
  );
  t.same(
    BACKEND_REQUESTS.map(({ id, name }) => [id, name]),
    BACKEND_NAMES.map((name, i) => [i + 1, name]),
  );
  t.equal(FRONTEND_REQUESTS.length, 44);
  t.equal(new Set(FRONTEND_NAMES).size, 44);
  t.equal(TYPES_FOLLOW.length, 6);
  t.end();
});

t.test('every row is complete', (t) => {
  for (const row of [...FRONTEND_REQUESTS, ...BACKEND_REQUESTS]) {
    t.ok(row.payload in PAYLOADS, `${row.name} payload`);
    t.ok(row.reply.payload in PAYLOADS, `${row.name} reply`);
    t.match(row.clause, /^\S.{10,}[^.]$/, `${row.name} clause`);
    if (row.reply.when === 'ack') {
      t.equal(row.reply.payload, 'u64', `${row.name} acknowledges with a u64`);
    }
  }
  t.end();
});

t.test('requests whose reply never depends on REPLY_ACK', (t) => {
  const always = FRONTEND_REQUESTS.filter((row) => row.reply.when === 'always');
  t.same(
    always.map((row) => row.id),
    [1, 11, 15, 17, 22, 24, 26, 28, 30, 31, 36, 40, 41, 42, 43, 44],
  );
  t.same(
    BACKEND_REQUESTS.filter((row) => row.reply.when === 'always').map((row) => row.id),
    [8],
  );
  t.end();
});

t.test('lookups', (t) => {
  for (const row of FRONTEND_REQUESTS) {
    t.equal(frontendRequestById(row.id), row);
    t.equal(frontendRequest(row.name), row);
  }
  for (const row of BACKEND_REQUESTS) {
    t.equal(backendRequestById(row.id), row);
    t.equal(backendRequest(row.name), row);
  }
  for (const id of [0, 45, 1006, 2 ** 31, 2 ** 32 - 1, -1, 1.5]) {
    t.equal(frontendRequestById(id), undefined, `${id}`);
    t.equal(backendRequestById(id), undefined, `${id}`);
  }
  t.end();
});
