import t from 'tap';
import type { Connection } from '../../../src/devices/vsock/connection.js';
import { ConnectionTable } from '../../../src/devices/vsock/connection-table.js';

const connection = (guestPort: number, hostPort: number) => ({ guestPort, hostPort }) as Connection;

t.test('by both ports', async (t) => {
  const table = new ConnectionTable(3);
  const a = connection(1, 2);
  const b = connection(2, 1);
  table.add(a);
  table.add(b);
  t.equal(table.find(1, 2), a);
  t.equal(table.find(2, 1), b);
  t.equal(table.find(1, 1), undefined);
  t.notOk(table.full);
  table.add(connection(0xffff_ffff, 0));
  t.ok(table.full);
  table.delete(a);
  table.delete(a);
  t.equal(table.size, 2);
  t.equal(table.find(1, 2), undefined);
  t.equal([...table.all()].length, 2);
  table.clear();
  t.equal(table.size, 0);
});

t.test('VS-035 ports that are taken are passed over', async (t) => {
  const table = new ConnectionTable(10);
  const first = table.freePort(80);
  table.add(connection(80, first + 1));
  t.equal(table.freePort(80), first + 2);
  t.equal(table.freePort(81), first + 3, 'numbers are not used again at once');
});
