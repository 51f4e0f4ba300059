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

t.test('--dgram: floods from either side are bounded (NT-015, NT-016, NT-030)', async (t) => {
  const directory = temporaryDirectory(t);
  const [local, remote] = [join(directory, 'ours'), join(directory, 'theirs')];
  const fd = native.datagramBind(remote);
  t.teardown(() => void native.fdClose(fd));
  const card = await startCard(t, { dgram: [local, remote] });
  const { driver, end } = await card.connect({ queueSize: 256 });
  t.equal(native.datagramConnect(fd, local), 0);
  const FLOOD = 5000;
  let taken = 0;
  try {
    for (; taken < FLOOD; taken++) {
      writeSync(fd, down(1000, taken));
    }
  } catch (error) {
    t.match(error, { code: 'EAGAIN' }, 'the host finds no room');
  }
  t.ok(taken > 0 && taken < FLOOD, `${taken} frames wait`);
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 80_000, `${user + system} us of CPU in 200 ms`);
  driver.post(64, 1100);
  let wrong = 0;
  for (let i = 0; i < taken; i++) {
    wrong += Buffer.compare((await driver.receive()).frame, down(1000, i)) === 0 ? 0 : 1;
    driver.post(1, 1100);
  }
  t.equal(wrong, 0, 'all there, in order');
  // A peer that reads nothing: what finds no room there is lost, and the driver goes on.
  for (let i = 0; i < 64; i++) {
    t.equal(await driver.transmit(frame(9000, i)), 0);
  }
  await until(() => card.device.counts(1).packets + card.device.counts(1).drops.busy === 64);
  t.ok(card.device.counts(1).drops.busy > 0, 'counted');
  await end();
});
