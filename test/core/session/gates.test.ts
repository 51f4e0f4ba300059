import t from 'tap';
import {
  backendRequest,
  frontendRequest,
  type RequestRow,
  VHOST_USER_PROTOCOL_F_CONFIG,
} from '../../../src/core/protocol/index.js';
import { checkGates } from '../../../src/core/session/gates.js';

const NOTHING = { offeredFeatures: 0n, ackedFeatures: 0n, protocolFeatures: 0n };
const ALL = (1n << 64n) - 1n;

const OPEN = ['GET_FEATURES', 'SET_VRING_NUM', 'GET_QUEUE_NUM'] as const;
for (const name of OPEN) {
  t.test(`${name} needs nothing`, async (t) => {
    t.doesNotThrow(() => checkGates(frontendRequest(name) as unknown as RequestRow, NOTHING));
  });
}

const GATED = [
  frontendRequest('GET_CONFIG'),
  frontendRequest('GET_PROTOCOL_FEATURES'),
  frontendRequest('GET_MAX_MEM_SLOTS'),
  frontendRequest('IOTLB_MSG'),
  backendRequest('CONFIG_CHANGE_MSG'),
  backendRequest('SHARED_OBJECT_ADD'),
] as unknown as readonly RequestRow[];
for (const row of GATED) {
  t.test(`${row.name} needs something`, async (t) => {
    t.throws(() => checkGates(row, NOTHING), { code: 'NOT_NEGOTIATED' });
    t.doesNotThrow(() =>
      checkGates(row, { offeredFeatures: ALL, ackedFeatures: ALL, protocolFeatures: ALL }),
    );
  });
}

t.test('offered is not acknowledged', async (t) => {
  const row = frontendRequest('IOTLB_MSG') as unknown as RequestRow;
  t.throws(() => checkGates(row, { ...NOTHING, protocolFeatures: ALL, offeredFeatures: ALL }));
});

t.test('the protocol feature that counts is the one of the row', async (t) => {
  const row = frontendRequest('GET_CONFIG') as unknown as RequestRow;
  const but = ALL ^ VHOST_USER_PROTOCOL_F_CONFIG;
  t.throws(() => checkGates(row, { ...NOTHING, protocolFeatures: but }));
  const only = { ...NOTHING, protocolFeatures: VHOST_USER_PROTOCOL_F_CONFIG };
  t.doesNotThrow(() => checkGates(row, only));
});
