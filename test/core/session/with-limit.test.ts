import t from 'tap';
import { withLimit } from '../../../src/core/session/with-limit.js';

const late = () => new Error('late');

t.test('work in time, late work, work that fails', async (t) => {
  t.equal(await withLimit(Promise.resolve(3), 1000, late), 3);
  await t.rejects(withLimit(new Promise(() => {}), 5, late), { message: 'late' });
  await t.rejects(withLimit(Promise.reject(new Error('own')), 1000, late), { message: 'own' });
});
