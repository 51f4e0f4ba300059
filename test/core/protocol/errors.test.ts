import t from 'tap';
import {
  VHOST_USER_ERRORS,
  VhostUserError,
  type VhostUserErrorCode,
} from '../../../src/core/protocol/errors.js';

const codes = Object.keys(VHOST_USER_ERRORS) as VhostUserErrorCode[];

t.test('each code makes an error with its sentence and its consequence', (t) => {
  for (const code of codes) {
    const { sentence, closesSession } = VHOST_USER_ERRORS[code];
    t.match(new VhostUserError(code), { name: 'VhostUserError', code, message: sentence });
    t.equal(new VhostUserError(code).closesSession, closesSession, code);
    t.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    t.notMatch(sentence, /[.!]$/, 'a sentence can be continued by a detail');
  }
  t.equal(new Set(codes.map((code) => VHOST_USER_ERRORS[code].sentence)).size, codes.length);
  t.end();
});

t.test('an error of another copy of the library is one too', async (t) => {
  const foreign = Object.assign(new Error('x'), { name: 'VhostUserError', code: 'DEVICE' });
  t.ok(foreign instanceof VhostUserError);
  t.ok(new VhostUserError('DEVICE') instanceof VhostUserError);
  for (const other of [
    Object.assign(new Error('x'), { name: 'VhostUserError' }),
    Object.assign(new Error('x'), { name: 'VhostUserError', code: 'toString' }),
    Object.assign(new Error('x'), { code: 'DEVICE' }),
    { name: 'VhostUserError', code: 'DEVICE' },
    undefined,
  ]) {
    t.notOk(other instanceof VhostUserError);
  }
});

t.test('a detail follows the sentence and a cause is kept', (t) => {
  const cause = new Error('why');
  const error = new VhostUserError('VERSION', 'version 3', { cause });
  t.equal(error.message, `${VHOST_USER_ERRORS.VERSION.sentence}: version 3`);
  t.equal(error.cause, cause);
  t.ok(error instanceof Error);
  t.end();
});

t.test('the codes that close, in full: adding one is a decision', (t) => {
  t.same(
    codes.filter((code) => VHOST_USER_ERRORS[code].closesSession),
    [
      'VERSION',
      'HEADER_FLAGS',
      'OVERSIZE',
      'TRUNCATED',
      'FD_COUNT',
      'FD_PLACE',
      'FD_TRUNCATED',
      'UNEXPECTED_REPLY',
      'INBAND_INCOMPLETE',
      'DRAIN_TIMEOUT',
      'MEMORY_LOST',
      'POSTCOPY',
      'PEER_CLOSED',
      'PEER_NOT_ALLOWED',
      'HANDSHAKE_TIMEOUT',
      'OUT_QUEUE_FULL',
    ],
  );
  t.end();
});
