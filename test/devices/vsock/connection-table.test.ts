import t from 'tap';
import type { Connection } from '../../../src/devices/vsock/connection.js';
import { ConnectionTable } from '../../../src/devices/vsock/connection-table.js';

const HOST = 2;
const connection = (guestPort: number, hostPort: number, peerCid = HOST) =>
  ({ peerCid, guestPort, hostPort }) as Connection;

t.test('by both ports', async (t) => {
  const table = new ConnectionTable(3);
  const a = connection(1, 2);
  const b = connection(2, 1);
  table.add(a);
  table.add(b);
  t.equal(table.find(HOST, 1, 2), a);
  t.equal(table.find(HOST, 2, 1), b);
  t.equal(table.find(HOST, 1, 1), undefined);
  t.notOk(table.full);
  table.add(connection(0xffff_ffff, 0));
  t.ok(table.full);
  table.delete(a);
  table.delete(a);
  t.equal(table.size, 2);
  t.equal(table.find(HOST, 1, 2), undefined);
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

t.test('VS-042 the same ports with another peer are another connection', async (t) => {
  const table = new ConnectionTable<Connection>(10);
  const host = connection(1, 2);
  const sibling = connection(1, 2, 7);
  table.add(host);
  t.equal(table.find(7, 1, 2), undefined);
  table.add(sibling);
  t.same([table.find(HOST, 1, 2), table.find(7, 1, 2)], [host, sibling]);
  t.equal([...table.all()].length, 2);
  table.delete(host);
  t.same([table.find(HOST, 1, 2), table.find(7, 1, 2)], [undefined, sibling]);
  table.clear();
  t.equal(table.find(7, 1, 2), undefined);
});
