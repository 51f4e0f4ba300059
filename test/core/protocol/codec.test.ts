import t from 'tap';
import {
  BACKEND_REQUESTS,
  decodeBackendMessage,
  decodeFrontendMessage,
  decodeHeader,
  encodeBackendRequest,
  encodeFrontendRequest,
  encodeMessage,
  encodeRefusal,
  encodeReply,
  encodeReplyTo,
  encodeRequest,
  FDS_MAX,
  FRONTEND_REQUESTS,
  fdBounds,
  HEADER_BYTES,
  isLegalLength,
  PAYLOAD_BYTES_MAX,
  PAYLOADS,
  type ReceivedRequest,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
} from '../../../src/core/protocol/index.js';
import { fromHex, illegalLengths, toHex } from './hex.js';

interface Circumstances {
  readonly fdCount?: number;
  readonly protocolFeatures?: bigint;
}

function received(message: Uint8Array, around: Circumstances = {}): ReceivedRequest {
  return {
    header: decodeHeader(message.subarray(0, HEADER_BYTES)),
    payload: message.subarray(HEADER_BYTES),
    fdCount: around.fdCount ?? 0,
    protocolFeatures: around.protocolFeatures ?? 0n,
  };
}

function requestOf(id: number, payload: Uint8Array, around?: Circumstances): ReceivedRequest {
  return received(encodeRequest(id, payload, { needReply: false }), around);
}

t.test('message vectors', (t) => {
  const noReply = { needReply: false };
  const rows: [Uint8Array, string][] = [
    [encodeFrontendRequest('GET_FEATURES', undefined, noReply), '01000000 01000000 00000000'],
    [
      encodeFrontendRequest('SET_VRING_NUM', { index: 1, num: 256 }, { needReply: true }),
      '08000000 09000000 08000000 01000000 00010000',
    ],
    [
      encodeFrontendRequest('SET_VRING_KICK', { index: 2, hasFd: false }, noReply),
      '0c000000 01000000 08000000 0201000000000000',
    ],
    [encodeBackendRequest('CONFIG_CHANGE_MSG', undefined, noReply), '02000000 01000000 00000000'],
    [encodeReply(1, fromHex('0000004001000000')), '01000000 05000000 08000000 0000004001000000'],
    [
      encodeMessage({ request: 0xffff_ffff, flags: 0xf3, payload: fromHex('ab') }),
      'ffffffff f3000000 01000000 ab',
    ],
  ];
  for (const [bytes, hex] of rows) {
    t.equal(toHex(bytes), hex.replaceAll(' ', ''));
  }
  const long = new Uint8Array(PAYLOAD_BYTES_MAX + 1);
  t.throws(() => encodeReply(24, long), RangeError);
  t.throws(() => encodeRequest(25, long, noReply), RangeError);
  t.end();
});

t.test('a request comes back by name with its payload', (t) => {
  const vring = encodeFrontendRequest('SET_VRING_BASE', { index: 3, num: 9 }, { needReply: true });
  t.same(decodeFrontendMessage(received(vring)), {
    name: 'SET_VRING_BASE',
    payload: { index: 3, num: 9 },
  });
  const uuid = '00112233-4455-6677-8899-aabbccddeeff';
  const lookup = encodeBackendRequest('SHARED_OBJECT_LOOKUP', { uuid }, { needReply: false });
  t.same(decodeBackendMessage(received(lookup)), {
    name: 'SHARED_OBJECT_LOOKUP',
    payload: { uuid },
  });
  t.end();
});

t.test('CS-008 CS-009 CS-010 each request refuses payloads of other lengths', (t) => {
  const tables = [
    [FRONTEND_REQUESTS, decodeFrontendMessage],
    [BACKEND_REQUESTS, decodeBackendMessage],
  ] as const;
  for (const [rows, decode] of tables) {
    for (const row of rows) {
      const { lengths } = PAYLOADS[row.payload];
      const fdCount = fdBounds(row).min;
      for (const n of illegalLengths((n) => isLegalLength(lengths, n), PAYLOAD_BYTES_MAX)) {
        const request = requestOf(row.id, new Uint8Array(n), { fdCount });
        const expected = { code: 'PAYLOAD_SIZE', closesSession: false };
        t.throws(() => decode(request), expected, `${row.name} of ${n} bytes`);
      }
    }
  }
  t.end();
});

t.test('CS-014 unknown ids are refused, not closed', (t) => {
  for (const id of [0, 45, 46, 1006, 2 ** 31, 2 ** 32 - 1]) {
    const expected = { code: 'UNKNOWN_REQUEST', closesSession: false };
    const request = requestOf(id, new Uint8Array(5), { fdCount: 1 });
    t.throws(() => decodeFrontendMessage(request), expected, `${id}`);
    t.throws(() => decodeBackendMessage(request), expected, `${id}`);
  }
  const crowd = requestOf(45, new Uint8Array(0), { fdCount: FDS_MAX + 1 });
  t.throws(() => decodeFrontendMessage(crowd), { code: 'FD_COUNT', closesSession: true });
  t.end();
});

t.test('CS-030 CS-031 each request closes on fds outside its bounds', (t) => {
  const rows = FRONTEND_REQUESTS.map((row) => [row, fdBounds(row)] as const);
  for (const [row, { min, max }] of rows) {
    for (const fdCount of [0, 1, 2, 9, 253].filter((n) => n < min || n > max)) {
      // Of no legal length either: fds are judged first.
      const request = requestOf(row.id, new Uint8Array(3), { fdCount });
      const expected = { code: 'FD_COUNT', closesSession: true };
      t.throws(() => decodeFrontendMessage(request), expected, `${row.name} with ${fdCount} fds`);
    }
  }
  t.end();
});

t.test('fds that the payload or a feature decides', (t) => {
  const region = '00'.repeat(32);
  const log = '00'.repeat(16);
  const shm = VHOST_USER_PROTOCOL_F_LOG_SHMFD;
  const rows: [
    note: string,
    id: number,
    hex: string,
    fds: number,
    features: bigint,
    ok: boolean,
  ][] = [
    ['kick with fd', 12, '0000000000000000', 1, 0n, true],
    ['CS-114 kick without', 12, '0000000000000000', 0, 0n, false],
    ['call NOFD', 13, '0001000000000000', 0, 0n, true],
    ['CS-115 call NOFD with fd', 13, '0001000000000000', 1, 0n, false],
    ['err with fd', 14, '0000000000000000', 1, 0n, true],
    ['table of none', 5, '0000000000000000', 0, 0n, true],
    ['table of one', 5, `0100000000000000${region}`, 1, 0n, true],
    ['CS-071 table, fd missing', 5, `0200000000000000${region}${region}`, 1, 0n, false],
    ['CS-071 table, fd too many', 5, `0100000000000000${region}`, 2, 0n, false],
    ['log area and fd', 6, log, 1, shm, true],
    ['CS-130 log area without fd', 6, log, 0, shm, false],
    ['log area from QEMU without LOG_SHMFD', 6, log, 0, 0n, true],
    ['log fd without LOG_SHMFD', 6, log, 1, 0n, false],
    ['log address', 6, '0000000000000000', 0, shm, true],
  ];
  for (const [note, id, hex, fdCount, protocolFeatures, ok] of rows) {
    const decode = () =>
      decodeFrontendMessage(requestOf(id, fromHex(hex), { fdCount, protocolFeatures }));
    if (ok) {
      t.doesNotThrow(decode, note);
    } else {
      t.throws(decode, { code: 'FD_COUNT', closesSession: true }, note);
    }
  }
  const area = '0100000000000000'.repeat(3);
  t.doesNotThrow(() => decodeBackendMessage(requestOf(3, fromHex(area), { fdCount: 1 })));
  t.throws(() => decodeBackendMessage(requestOf(3, fromHex(area))), { code: 'FD_COUNT' });
  t.end();
});

t.test('a payload that is not the announced one is a mistake of the caller', (t) => {
  const request = { ...requestOf(8, new Uint8Array(8)), payload: new Uint8Array(7) };
  t.throws(() => decodeFrontendMessage(request), RangeError);
  t.end();
});

t.test('replies and refusals', (t) => {
  const row = (id: number) => FRONTEND_REQUESTS[id - 1]!;
  const base = encodeReplyTo(FRONTEND_REQUESTS[10], { index: 1, num: 7 });
  t.equal(toHex(base), '0b00000005000000080000000100000007000000');
  const refusals: [id: number, hex: string | undefined][] = [
    [1, undefined],
    [8, '08000000 05000000 08000000 0100000000000000'],
    [11, undefined],
    [24, '18000000 05000000 00000000'],
    [41, '29000000 05000000 00000000'],
    [42, '2a000000 05000000 08000000 0101000000000000'],
  ];
  for (const [id, hex] of refusals) {
    const bytes = encodeRefusal(row(id));
    t.equal(bytes && toHex(bytes), hex?.replaceAll(' ', ''), row(id).name);
  }
  t.end();
});
