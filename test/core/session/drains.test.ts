import t from 'tap';
import { Drains } from '../../../src/core/session/drains.js';

t.test('work in time, and work that fails', async (t) => {
  const drains = new Drains(1000);
  t.equal(await drains.run(Promise.resolve(3)), 3);
  await t.rejects(drains.run(Promise.reject(new Error('own'))), { message: 'own' });
  await drains.settled();
});

t.test('work beyond the limit goes on, and the end waits for it', async (t) => {
  const drains = new Drains(5);
  let finish = () => {};
  let finished = false;
  const work = new Promise<void>((resolve) => {
    finish = resolve;
  }).then(() => {
    finished = true;
  });
  await t.rejects(drains.run(work), { code: 'DRAIN_TIMEOUT' });
  const settled = drains.settled().then(() => finished);
  setImmediate(finish);
  t.equal(await settled, true);
});
