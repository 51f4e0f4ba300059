import t from 'tap';
import {
  methodOf,
  negotiated,
  requireState,
} from '../../../src/core/frontend/vhost-device-backend.js';
import { scriptedVhostBackend } from '../../support/scripted-vhost-backend.js';

t.test('what only some back-ends have', async (t) => {
  const { backend } = scriptedVhostBackend(0n, { getQueueNum: async () => 7n });
  t.equal(await methodOf(backend, 'getQueueNum')(), 7n);
  t.throws(() => methodOf(backend, 'getConfig'), {
    code: 'INVALID_OPERATION',
    message: /no getConfig/,
  });
});

t.test('protocol features, if any', async (t) => {
  t.equal(negotiated(scriptedVhostBackend(0n).backend, 1n), false);
  const { backend } = scriptedVhostBackend(0n, { protocolFeatures: 5n });
  t.same([negotiated(backend, 4n), negotiated(backend, 6n)], [true, false]);
  t.throws(() => requireState(false, 'no'), { code: 'INVALID_OPERATION', message: /no/ });
});
