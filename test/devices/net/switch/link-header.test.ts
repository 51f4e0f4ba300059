// The front of a frame, read and written.

import t from 'tap';
import { Batch } from '../../../../src/core/virtqueue/batch.js';
import { LinkHeader, SHOWN_BYTES } from '../../../../src/devices/net/switch/link-header.js';
import { exchange } from '../../../../src/native/index.js';
import { frame, GUEST_MAC, HOST_MAC, macBytes } from '../../../support/frames.js';
import { tagged } from '../../../support/vlan-frames.js';

function read(bytes: Uint8Array): LinkHeader {
  const tables = new exchange.Exchange();
  const at = exchange.REQUEST_HEADER * 4;
  tables.bytes.set(bytes.subarray(0, SHOWN_BYTES - 12), at + 12);
  const link = new LinkHeader();
  link.read(new Batch(tables), 0);
  return link;
}

t.test('of a frame in private memory', async (t) => {
  const link = new LinkHeader();
  link.readFrame(tagged(frame(60, 1, '52:54:00:00:00:01', '52:54:00:00:00:02'), 9, 3));
  t.same([link.fromLow, link.fromHigh], [0x00005452, 0x0200], 'from');
  t.same([link.toLow, link.toHigh, link.vlan, link.bytes], [0x00005452, 0x0100, 9, 18]);
  link.readFrame(frame(14));
  t.equal(link.tagged, false);
});

t.test('untagged and tagged, there and back', (t) => {
  const plain = frame(60, 1, HOST_MAC, GUEST_MAC);
  const link = read(plain);
  t.same([link.tagged, link.vlan, link.bytes], [false, 0, 14]);
  const words = new Uint32Array(8);
  const bytes = () => new Uint8Array(words.buffer, 4);
  t.equal(link.write(words, 1, undefined), 14);
  t.same(bytes().slice(0, 14), plain.slice(0, 14));
  t.equal(link.write(words, 1, 0xabc), 18);
  t.same(bytes().slice(0, 18), tagged(plain, 0xabc).slice(0, 18));
  const other = read(tagged(plain, 0x123, 5));
  t.same([other.tagged, other.vlan, other.bytes], [true, 0x123, 18]);
  other.write(words, 1, 0x456);
  t.same(bytes().slice(0, 18), tagged(plain, 0x456, 5).slice(0, 18), 'the priority stays');
  other.write(words, 1, undefined);
  t.same(bytes().slice(0, 14), plain.slice(0, 14));
  t.end();
});

t.test('who it is for and from', (t) => {
  const rows: readonly (readonly [
    to: string,
    from: string,
    group: boolean,
    reserved: boolean,
    station: boolean,
  ])[] = [
    [HOST_MAC, GUEST_MAC, false, false, true],
    ['ff:ff:ff:ff:ff:ff', GUEST_MAC, true, false, true],
    ['01:00:5e:00:00:01', GUEST_MAC, true, false, true],
    ['01:80:c2:00:00:00', GUEST_MAC, true, true, true],
    ['01:80:c2:00:00:0f', GUEST_MAC, true, true, true],
    ['01:80:c2:00:00:10', GUEST_MAC, true, false, true],
    [HOST_MAC, '01:00:5e:00:00:01', false, false, false],
    [HOST_MAC, '00:00:00:00:00:00', false, false, false],
    [HOST_MAC, '00:00:00:00:00:01', false, false, true],
    [HOST_MAC, 'fe:ff:ff:ff:ff:ff', false, false, true],
  ];
  for (const [to, from, group, reserved, station] of rows) {
    const link = read(frame(60, 1, to, from));
    t.same([link.toGroup, link.reserved, link.fromStation], [group, reserved, station], to + from);
  }
  const [low, high] = [macBytes(GUEST_MAC).slice(0, 4), macBytes(GUEST_MAC).slice(4)];
  const link = read(frame(60, 1, HOST_MAC, GUEST_MAC));
  t.equal(link.fromLow, new Uint32Array(low.buffer)[0]);
  t.equal(link.fromHigh, new Uint16Array(high.buffer)[0]);
  t.equal(read(frame(60, 1, GUEST_MAC, HOST_MAC)).toLow, link.fromLow, 'one name for both');
  t.end();
});
