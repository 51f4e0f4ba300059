// Datagrams of frames, with a peer that comes late.

import { readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../../../../src/native/index.js';
import { startCard } from '../../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC } from '../../../support/frames.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { until } from '../../../support/until.js';

const down = (bytes: number, seed: number) => frame(bytes, seed, GUEST_MAC, HOST_MAC);

t.test('--dgram: frames both ways, the peer comes late and leaves', async (t) => {
  const directory = temporaryDirectory(t);
  const [local, remote] = [join(directory, 'ours'), join(directory, 'theirs')];
  const card = await startCard(t, { dgram: [local, remote] });
  const { driver, end } = await card.connect();
  driver.post(32, 2048);
  await driver.transmit(frame(60));
  t.equal(card.device.counts(1).drops.port, 1, 'nobody is there');
  const fd = native.datagramBind(remote);
  t.teardown(() => void native.fdClose(fd));
  t.equal(native.datagramConnect(fd, local), 0);
  const buffer = Buffer.alloc(70_000);
  const receive = async () => {
    let got = 0;
    await until(() => {
      try {
        got = readSync(fd, buffer);
      } catch {}
      return got > 0;
    });
    return buffer.subarray(0, got);
  };
  await until(async () => {
    await driver.transmit(frame(99, 9));
    return card.device.counts(1).packets > 0;
  });
  t.equal(Buffer.compare(await receive(), frame(99, 9)), 0);
  for (const bytes of [14, 1514, 1900]) {
    await driver.transmit(frame(bytes, 1), { pieceBytes: 300 });
    t.equal(Buffer.compare(await receive(), frame(bytes, 1)), 0, `up ${bytes}`);
    writeSync(fd, down(bytes, 2));
    const got = await driver.receive();
    t.equal(Buffer.compare(got.frame, down(bytes, 2)), 0, `down ${bytes}`);
    t.same([...got.header], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  }
  await end();
});
