import t from 'tap';
import { Vring } from '../../../src/core/session/vring.js';
import { eventfd, openDescriptors } from '../../support/resources.js';
import { scriptedPool } from '../../support/scripted-pool.js';
import { TinyRing } from '../../support/tiny-ring.js';

t.test('ready when size, addresses and kick are known, in any order', async (t) => {
  const ring = new TinyRing();
  const steps: Readonly<Record<string, (vring: Vring) => void>> = {
    size: (vring) => {
      vring.size = 8;
    },
    addresses: (vring) => {
      vring.addresses = { index: 0, flags: 0, logAddress: 0n, ...ring.addresses };
    },
    kick: (vring) => vring.setKick(undefined),
  };
  for (const order of ['size addresses kick', 'kick size addresses', 'addresses kick size']) {
    const vring = new Vring(0);
    for (const step of order.split(' ')) {
      t.equal(vring.ready, false, `before ${step}`);
      steps[step]?.(vring);
    }
    t.equal(vring.ready, true, order);
  }
  ring.close();
});

t.test('descriptors are replaced and closed', async (t) => {
  const { pool } = scriptedPool(t);
  await pool.ready();
  const vring = new Vring(0);
  const before = openDescriptors();
  for (let i = 0; i < 3; i++) {
    vring.setKick(eventfd());
    await vring.setCall(eventfd(), pool);
    await vring.setErr(eventfd(), pool);
    t.equal(openDescriptors(), before + 3);
  }
  await vring.setCall(undefined, pool);
  t.equal(openDescriptors(), before + 2);
  vring.close();
  t.equal(openDescriptors(), before);
  t.equal(vring.ready, false);
});

t.test('start, stop, start again', async (t) => {
  const { pool } = scriptedPool(t);
  await pool.ready();
  const ring = new TinyRing();
  const memory = ring.memory();
  const context = {
    memory: memory.id,
    eventIdx: false,
    packed: false,
    inOrder: false,
    readOnly: false,
    addressing: 0,
    inband: false,
    pool,
  };
  const vring = new Vring(0);
  const before = openDescriptors();
  const prepare = () => {
    vring.size = ring.size;
    vring.addresses = { index: 0, flags: 0, logAddress: 0n, ...ring.addresses };
    vring.setKick(eventfd());
  };
  await vring.start(context);
  t.equal(vring.started, false, 'not ready, not started');
  prepare();
  vring.base = 5;
  ring.setAvailIndex(5);
  await vring.start(context);
  t.equal(vring.started, true);
  t.throws(() => vring.requireStopped('size'), { code: 'VRING_STATE' });
  await vring.setEnabled(true, pool);
  await vring.setCall(eventfd(), pool);
  t.same(await Promise.all([vring.stop(pool), vring.stop(pool)]), [5, 5], 'stopped twice at once');
  t.equal(vring.started, false);
  t.equal(vring.addresses, undefined);
  t.equal(await vring.stop(pool), 5, 'a stopped vring keeps its base');
  t.equal(openDescriptors(), before);

  prepare();
  vring.addresses = { index: 0, flags: 0, logAddress: 0n, ...ring.addresses, usedAddress: 0n };
  await t.rejects(vring.start(context), { code: 'VRING_ADDRESS' });
  t.equal(vring.started, false);
  t.equal(openDescriptors(), before, 'a refused start keeps no descriptor');
  memory.release();
  ring.close();
});
