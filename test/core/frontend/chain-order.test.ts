import t from 'tap';
import { ChainOrder } from '../../../src/core/frontend/chain-order.js';

const buffer = (bytes: number, writable: boolean) => ({ offset: 0, bytes, writable });

t.test('one used element stands for all before it (§2.7.9)', async (t) => {
  const order = new ChainOrder();
  order.add(4, [buffer(16, false), buffer(100, true), buffer(1, true)]);
  order.add(9, [buffer(16, false)]);
  order.add(2, [buffer(50, true)]);
  order.add(7, [buffer(8, true)]);
  const batch = [
    { id: 4, length: 101 },
    { id: 9, length: 0 },
    { id: 2, length: 3 },
  ];
  t.same(order.take({ id: 2, length: 3 }), batch, 'those before it were written completely');
  t.throws(() => order.take({ id: 9, length: 0 }), /returned 9/, 'it has come back already');
  t.same(order.take({ id: 7, length: 8 }), [{ id: 7, length: 8 }]);
});
