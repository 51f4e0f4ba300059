// A switch with a way out: frames to a tap and to a stream, and from there.

import { join } from 'node:path';
import t from 'tap';
import { parseUplink } from '../../../../src/devices/net/switch/options.js';
import { BROADCAST, frame, HOST_MAC, macBytes, tcpFrame } from '../../../support/frames.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { listen } from '../../../support/stream-peer.js';
import { startSwitch } from '../../../support/switch-rig.js';
import { Wire, whyNoTap } from '../../../support/taps.js';
import { until } from '../../../support/until.js';
import { tagged } from '../../../support/vlan-frames.js';

const [FIRST, SECOND] = ['52:54:00:00:00:01', '52:54:00:00:00:02'];
const TSO = Uint8Array.of(1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0);

t.test(
  'a tap: learned on both sides, finished on the way out',
  { skip: whyNoTap() ?? false },
  async (t) => {
    const wire = new Wire(t);
    const rig = await startSwitch(t, ['', 'isolated', 'isolated'], { uplink: `tap:${wire.tap}` });
    const [first, second, third] = [
      await rig.connect(0),
      await rig.connect(1),
      await rig.connect(2),
    ];
    for (const { driver } of [first, second, third]) {
      driver.post(60, 2048);
    }
    await second.driver.transmit(frame(100, 1, BROADCAST, SECOND));
    t.same(
      [...((await wire.receive())?.frame ?? [])],
      [...frame(100, 1, BROADCAST, SECOND)],
      'out',
    );
    t.equal((await first.driver.receive()).frame.byteLength, 100, 'and to the other guest');
    wire.send(frame(200, 2, SECOND, HOST_MAC));
    t.same([...(await second.driver.receive()).frame], [...frame(200, 2, SECOND, HOST_MAC)], 'in');
    await first.driver.transmit(frame(300, 3, HOST_MAC, FIRST));
    t.equal((await wire.receive())?.frame.byteLength, 300, 'to a learned address');
    t.equal(second.received().packets, 1, 'and to nobody else');
    t.equal(third.received().packets, 0, 'isolated ports reach the outside only');
    // More than one turn reads.
    for (let i = 0; i < 50; i++) {
      wire.send(frame(400 + i, i, FIRST, HOST_MAC));
    }
    for (let i = 0; i < 50; i++) {
      t.equal((await first.driver.receive()).frame.byteLength, 400 + i);
    }
    const long = tcpFrame(6054);
    long.set(macBytes(HOST_MAC));
    long.set(macBytes(FIRST), 6);
    await first.driver.transmit(long, { header: TSO });
    const lengths: number[] = [];
    for (let i = 0; i < 5; i++) {
      lengths.push((await wire.receive())?.frame.byteLength ?? 0);
    }
    t.same(lengths, [1502, 1502, 1502, 1502, 262], 'in pieces');
    t.equal(rig.netSwitch.uplinkCounts(0)?.packets, 7);
    t.equal(rig.netSwitch.uplinkCounts(1)?.packets, 51);
    await Promise.all([first, second, third].map(({ end }) => end()));
  },
);

t.test('a stream: VLANs, storms, lengths that lie (NT-031, NT-034)', async (t) => {
  const path = join(temporaryDirectory(t), 'p');
  const listening = await listen(t, path);
  const options = { uplink: `stream:${path}`, stormPerSecond: 20 };
  const rig = await startSwitch(t, ['access=7', 'access=8'], options);
  const [first, second] = [await rig.connect(0), await rig.connect(1)];
  const peer = await listening.peer;
  first.driver.post(60, 2048);
  second.driver.post(60, 2048);
  const sent = frame(100, 1, BROADCAST, FIRST);
  await first.driver.transmit(sent);
  await until(() => peer.frames.length === 1);
  t.equal(Buffer.compare(peer.frames[0] as Buffer, tagged(sent, 7)), 0, 'with the tag of its VLAN');
  const down = frame(200, 2, BROADCAST, HOST_MAC);
  peer.send(tagged(down, 8), frame(13), frame(300, 1, FIRST, BROADCAST));
  t.equal(Buffer.compare((await second.driver.receive()).frame, down), 0, 'to its VLAN only');
  const drops = () => rig.netSwitch.uplinkCounts(1)?.drops;
  await until(() => drops()?.source === 1);
  t.equal(drops()?.length, 1, 'a frame of 13 bytes');
  for (let i = 0; i < 20; i++) {
    peer.send(tagged(frame(60, i, BROADCAST, HOST_MAC), 8));
  }
  await until(() => (drops()?.storm ?? 0) >= 15);
  t.equal(first.received().packets, 0);
  peer.socket.destroy();
  await first.driver.transmit(frame(500, 2, BROADCAST, FIRST));
  await Promise.all([first.end(), second.end()]);
});

t.test('where an uplink may lead', async (t) => {
  t.match(parseUplink('tap:vt0'), { tap: 'vt0' });
  t.match(parseUplink('stream-listen:/a:b'), { streamListen: '/a:b' });
  for (const text of ['', 'tap', 'tap:', 'tap:a/b', 'null:x', 'dgram:/a,/b', '/a']) {
    t.equal(parseUplink(text), undefined, text);
  }
});
