import t from 'tap';
import { VHOST_ERRORS, VhostError, vhostErrorCode } from '../../../src/core/frontend/index.js';
import { VhostUserError } from '../../../src/core/protocol/index.js';
import { SystemError } from '../../../src/native/index.js';

t.test('the kind of every error a back-end rejects with', async (t) => {
  const rows: [error: unknown, code: string | undefined][] = [
    [new VhostError('INVALID_QUEUE'), 'INVALID_QUEUE'],
    [new VhostUserError('PEER_REFUSED'), 'VHOST_USER_PROTOCOL'],
    [new SystemError('connect', 2), 'IOCTL_ERROR'],
    [new TypeError('ours'), undefined],
    [undefined, undefined],
  ];
  for (const [error, code] of rows) {
    t.equal(vhostErrorCode(error), code);
  }
});

t.test('message and cause', async (t) => {
  const cause = new Error('why');
  const error = new VhostError('LOG_ADDRESS', '0 bytes', { cause });
  t.equal(error.message, `${VHOST_ERRORS.LOG_ADDRESS}: 0 bytes`);
  t.equal(error.cause, cause);
  t.equal(new VhostError('LOG_ADDRESS').message, VHOST_ERRORS.LOG_ADDRESS);
});
