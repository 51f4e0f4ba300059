import { constants } from 'node:os';
import t from 'tap';
import { check, errnoName, SystemError } from '../../src/native/errno.js';

t.test('numbers get the names people use', async (t) => {
  const rows: readonly (readonly [number: number, name: string])[] = [
    [1, 'EPERM'],
    [2, 'ENOENT'],
    [9, 'EBADF'],
    [11, 'EAGAIN'], // not EWOULDBLOCK
    [22, 'EINVAL'],
    [36, 'ENAMETOOLONG'],
    [98, 'EADDRINUSE'],
    [0, 'E0'],
    [9999, 'E9999'],
  ];
  for (const [number, name] of rows) {
    t.equal(errnoName(number), name);
  }
  for (const number of Object.values(constants.errno)) {
    t.match(errnoName(number), /^E[A-Z0-9]+$/, `${number}`);
  }
});

t.test('check lets results through and throws what is negative', async (t) => {
  for (const result of [0, 1, 4096, 2 ** 40]) {
    t.equal(check('read', result), result);
  }
  t.throws(() => check('open', -2), {
    name: 'SystemError',
    message: 'open: ENOENT',
    code: 'ENOENT',
    errno: 2,
  });
  t.ok(new SystemError('open', 2) instanceof Error);
});
