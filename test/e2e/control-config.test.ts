// CS rows of the config space and the back-end channel.

import { truncateSync, writeSync } from 'node:fs';
import t from 'tap';
import { encodeRequest } from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BlkDriver, socketPair, type TestFrontend } from '../../src/testing/index.js';
import {
  ask,
  checkHealthy,
  drained,
  outcome,
  pause,
  postWrites,
  type Row,
  runRows,
  withDaemon,
} from './support.js';

const ACK = { needReply: true };
const GET_CONFIG = 24;

/** GET_CONFIG as bytes: what the head says, and how many bytes follow. */
const config = (offset: number, bytes: number, follow = bytes, flags = 0) => {
  const payload = new Uint8Array(12 + follow);
  const view = new DataView(payload.buffer);
  [offset, bytes, flags].forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  return async (frontend: TestFrontend) =>
    (await ask(frontend, encodeRequest(GET_CONFIG, payload, ACK))).answer;
};

const WRITEBACK = 32;
const CONFIG_ROWS: readonly Row[] = [
  { id: 'CS-140: all', expect: 'WORK', send: config(0, 256) },
  { id: 'CS-140: one more', expect: 'NACK', send: config(0, 257) },
  { id: 'CS-140: beyond', expect: 'NACK', send: config(256, 1) },
  { id: 'CS-140: wraps', expect: 'NACK', send: config(2 ** 32 - 1, 2) },
  { id: 'CS-140: size 0', expect: 'NACK', send: config(0, 0) },
  { id: 'CS-140: short payload', expect: 'NACK', send: config(0, 60, 59) },
  { id: 'CS-140: size 2^32-1', expect: 'NACK', send: config(0, 2 ** 32 - 1, 8) },
  {
    id: 'CS-141: capacity',
    expect: 'NACK',
    send: ({ frontend }) => outcome(frontend.setConfig(0, new Uint8Array(8))),
  },
  {
    id: 'CS-141: partly over wce',
    expect: 'NACK',
    send: ({ frontend }) => outcome(frontend.setConfig(WRITEBACK, new Uint8Array(2))),
  },
  ...[2, 255].map(
    (value): Row => ({
      id: `CS-141: wce ${value}`,
      expect: 'NACK',
      send: ({ frontend }) => outcome(frontend.setConfig(WRITEBACK, Uint8Array.of(value))),
    }),
  ),
  {
    id: 'CS-141: flags 3',
    expect: 'NACK',
    send: ({ frontend }) => outcome(frontend.setConfig(WRITEBACK, Uint8Array.of(1), 3)),
  },
  {
    id: 'CS-141: wce with requests in flight',
    stage: 'running',
    expect: 'WORK',
    send: async (frontend) => {
      postWrites(frontend, 16);
      const answer = await outcome(frontend.frontend.setConfig(WRITEBACK, Uint8Array.of(0)));
      return (await drained(frontend)) ? answer : 'SILENT';
    },
  },
];

t.test('config space', async (t) => {
  await withDaemon(t, [], (scene) => runRows(t, scene, CONFIG_ROWS));
});

t.test('CS-142: back-end channel', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const [near, far] = socketPair();
    const [secondNear, secondFar] = socketPair();
    await frontend.frontend.setBackendReqFd(far);
    await frontend.frontend.setBackendReqFd(secondFar);
    [far, secondFar].forEach(native.fdClose);
    t.throws(() => writeSync(near, 'x'), { code: 'EPIPE' }, 'the first is closed');
    truncateSync(scene.image, 32 << 20);
    scene.daemon.signal('SIGHUP');
    await pause(100);
    const driver = new BlkDriver(frontend);
    await driver.write(0, new Uint8Array(512));
    t.pass('a message nobody reads or answers holds nothing up');
    writeSync(secondNear, new Uint8Array(100).fill(0xff));
    await driver.write(0, new Uint8Array(512));
    // The daemon closes it once it has read the garbage, which may take a moment.
    let ended = false;
    for (let i = 0; i < 500 && !ended; i++) {
      try {
        writeSync(secondNear, 'x');
        await pause(10);
      } catch {
        ended = true;
      }
    }
    t.ok(ended, 'garbage ends the channel');
    await driver.write(0, new Uint8Array(512));
    [near, secondNear].forEach(native.fdClose);
    frontend.close();
    await checkHealthy(t, scene, 'CS-142');
  });
});
