import t from 'tap';
import { HostEndError } from '../../../src/devices/net/host-end-error.js';

t.test('says why', async (t) => {
  t.match(new HostEndError('option', 'x'), {
    name: 'HostEndError',
    reason: 'option',
    message: 'x',
  });
});
