// The card as a user runs it: the command, a front-end, frames.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DaemonProcess, NetDriver, TestFrontend } from '../../src/testing/index.js';
import { frame } from '../support/frames.js';
import { readCapture } from '../support/pcapng.js';
import { temporaryDirectory } from '../support/resources.js';
import { Wire, whyNoTap } from '../support/taps.js';

t.test('vhost-ts net --null --pcap', async (t) => {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 's');
  const pcap = join(directory, 'c.pcapng');
  const capture = ['--pcap', pcap, '--pcap-limit', '1'];
  const daemon = await DaemonProcess.net(socket, ['--null', '--log-format', 'json', ...capture]);
  t.teardown(() => daemon.stop());
  const frontend = await TestFrontend.start({ socket, queues: 2 });
  await new NetDriver(frontend).transmit(frame(1514));
  daemon.signal('SIGHUP');
  await frontend.stopQueues();
  frontend.close();
  const { code, stderr } = await daemon.stop();
  t.equal(code, 0);
  t.match(stderr, /"queue":1,"packets":1,"bytes":1514/, 'SIGHUP logs the counts');
  const { frames, drops } = readCapture(readFileSync(pcap));
  t.same([frames.map(({ bytes }) => bytes.byteLength), drops], [[1514], 0n]);
});

t.test('vhost-ts net --tap', { skip: whyNoTap() ?? false }, async (t) => {
  const wire = new Wire(t);
  const socket = join(temporaryDirectory(t), 's');
  const args = ['--tap', wire.tap, '--mac', '52:54:00:01:02:03', '--mtu', '9000'];
  const daemon = await DaemonProcess.net(socket, [...args, '--queue-num', 'pairs']);
  t.teardown(() => daemon.stop());
  const frontend = await TestFrontend.start({ socket, queues: 2 });
  const config = await frontend.frontend.getConfig(0, 12);
  t.same([...config], [0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0x28, 0x23]);
  t.equal(await frontend.frontend.getQueueNum(), 1n, 'as pairs (trap 21)');
  await new NetDriver(frontend).transmit(frame(1514, 7));
  const up = await wire.receive();
  t.equal(Buffer.compare(Buffer.from(up?.frame ?? []), frame(1514, 7)), 0);
  await frontend.stopQueues();
  frontend.close();
});
