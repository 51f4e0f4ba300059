import t from 'tap';
import {
  BACKEND_REQUESTS,
  type BackendRequest,
  backendRequest,
  backendRequestById,
  FRONTEND_REQUESTS,
  type FrontendRequest,
  type FrontendRequestName,
  featureNames,
  frontendRequest,
  frontendRequestById,
  PAYLOADS,
  type PayloadOf,
  protocolFeatureNames,
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

/** id, name, payload, reply (* whatever was negotiated), gates. */
const FRONTEND_TABLE = `
  1 GET_FEATURES none u64*
  2 SET_FEATURES u64 u64
  3 SET_OWNER none u64
  4 RESET_OWNER none u64
  5 SET_MEM_TABLE memTable u64
  6 SET_LOG_BASE logBase u64(LOG_SHMFD)
  7 SET_LOG_FD none u64
  8 SET_VRING_NUM vringState u64
  9 SET_VRING_ADDR vringAddr u64
  10 SET_VRING_BASE vringState u64
  11 GET_VRING_BASE vringState vringState*
  12 SET_VRING_KICK vringFd u64
  13 SET_VRING_CALL vringFd u64
  14 SET_VRING_ERR vringFd u64
  15 GET_PROTOCOL_FEATURES none u64* VHOST_USER_F_PROTOCOL_FEATURES:offered
  16 SET_PROTOCOL_FEATURES u64 u64 VHOST_USER_F_PROTOCOL_FEATURES:offered
  17 GET_QUEUE_NUM none u64* MQ
  18 SET_VRING_ENABLE vringState u64 VHOST_USER_F_PROTOCOL_FEATURES:offered
  19 SEND_RARP u64 u64 RARP
  20 NET_SET_MTU u64 u64 MTU
  21 SET_BACKEND_REQ_FD none u64 BACKEND_REQ
  22 IOTLB_MSG iotlb u64* VIRTIO_F_ACCESS_PLATFORM:acked
  23 SET_VRING_ENDIAN vringState u64 CROSS_ENDIAN
  24 GET_CONFIG config config* CONFIG
  25 SET_CONFIG config u64 CONFIG
  26 CREATE_CRYPTO_SESSION cryptoSession cryptoSession* CRYPTO_SESSION
  27 CLOSE_CRYPTO_SESSION u64 u64 CRYPTO_SESSION
  28 POSTCOPY_ADVISE none none* PAGEFAULT
  29 POSTCOPY_LISTEN none u64 PAGEFAULT
  30 POSTCOPY_END none u64* PAGEFAULT
  31 GET_INFLIGHT_FD inflight inflight* INFLIGHT_SHMFD
  32 SET_INFLIGHT_FD inflight u64 INFLIGHT_SHMFD
  33 GPU_SET_SOCKET none u64
  34 RESET_DEVICE none u64 RESET_DEVICE
  35 VRING_KICK vringState u64 INBAND_NOTIFICATIONS
  36 GET_MAX_MEM_SLOTS none u64* CONFIGURE_MEM_SLOTS
  37 ADD_MEM_REG singleRegion u64 CONFIGURE_MEM_SLOTS
  38 REM_MEM_REG singleRegion u64 CONFIGURE_MEM_SLOTS
  39 SET_STATUS u64 u64 STATUS
  40 GET_STATUS none u64* STATUS
  41 GET_SHARED_OBJECT sharedObject none* SHARED_OBJECT
  42 SET_DEVICE_STATE_FD deviceState u64* DEVICE_STATE
  43 CHECK_DEVICE_STATE none u64* DEVICE_STATE
  44 GET_SHMEM_CONFIG none shmemConfig* SHMEM`;

const BACKEND_TABLE = `
  1 IOTLB_MSG iotlb u64 BACKEND_REQ VIRTIO_F_ACCESS_PLATFORM:acked
  2 CONFIG_CHANGE_MSG none u64 BACKEND_REQ CONFIG
  3 VRING_HOST_NOTIFIER_MSG vringArea u64 BACKEND_REQ BACKEND_SEND_FD HOST_NOTIFIER
  4 VRING_CALL vringState u64 BACKEND_REQ INBAND_NOTIFICATIONS
  5 VRING_ERR vringState u64 BACKEND_REQ INBAND_NOTIFICATIONS
  6 SHARED_OBJECT_ADD sharedObject u64 BACKEND_REQ SHARED_OBJECT
  7 SHARED_OBJECT_REMOVE sharedObject u64 BACKEND_REQ SHARED_OBJECT
  8 SHARED_OBJECT_LOOKUP sharedObject u64* BACKEND_REQ SHARED_OBJECT
  9 SHMEM_MAP shmemMap u64 BACKEND_REQ BACKEND_SEND_FD SHMEM
  10 SHMEM_UNMAP shmemMap u64 BACKEND_REQ SHMEM`;

const shortNames = (mask: bigint) =>
  protocolFeatureNames(mask).map((name) => name.replace('VHOST_USER_PROTOCOL_F_', ''));

function describeRow(row: FrontendRequest | BackendRequest): string {
  const { when, payload } = row.reply;
  const mark = typeof when === 'bigint' ? `(${shortNames(when)})` : when === 'always' ? '*' : '';
  const gates = shortNames(row.needs);
  if (row.feature !== undefined) {
    gates.push(`${featureNames(row.feature.mask)}:${row.feature.state}`);
  }
  return [row.id, row.name, row.payload, payload + mark, ...gates].join(' ');
}

const lines = (table: string) => table.trim().split(/\s*\n\s*/);

t.test('ids 1 to 44 and 1 to 10, each once, with what the document says of them', (t) => {
  t.same(FRONTEND_REQUESTS.map(describeRow), lines(FRONTEND_TABLE));
  t.same(BACKEND_REQUESTS.map(describeRow), lines(BACKEND_TABLE));
  for (const [rows, count] of [
    [FRONTEND_REQUESTS, 44],
    [BACKEND_REQUESTS, 10],
  ] as const) {
    t.same(
      new Set(rows.map((row) => row.id)),
      new Set(Array.from({ length: count }, (_, i) => i + 1)),
    );
    t.equal(new Set<string>(rows.map((row) => row.name)).size, count);
  }
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
