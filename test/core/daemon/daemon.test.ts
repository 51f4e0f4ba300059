import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { connectToPath } from '../../../src/core/daemon/connector.js';
import { Daemon, type DaemonOptions } from '../../../src/core/daemon/daemon.js';
import { type Listener, listenOnFd, listenOnPath } from '../../../src/core/daemon/listener.js';
import type { DeviceHost } from '../../../src/core/device.js';
import type { Log } from '../../../src/core/log.js';
import { encodeFrontendRequest, VIRTIO_F_VERSION_1 } from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { Peer } from '../../support/peer.js';
import {
  eventfd,
  openDescriptors,
  socketPair,
  temporaryDirectory,
  until,
} from '../../support/resources.js';
import { scriptedDataHalf } from '../../support/scripted-pool.js';
import { RecordingDevice } from '../../support/session-rig.js';

const GET_FEATURES = encodeFrontendRequest('GET_FEATURES', undefined, { needReply: false });
const SET_FEATURES = encodeFrontendRequest('SET_FEATURES', VIRTIO_F_VERSION_1, {
  needReply: false,
});

const SET_OWNER = encodeFrontendRequest('SET_OWNER', undefined, { needReply: false });

/** A front-end that listens. */
class FrontEndSocket {
  readonly #listener: Listener;

  constructor(path: string) {
    this.#listener = listenOnPath(path);
  }

  async accept(): Promise<Peer> {
    return new Peer((await this.#listener.accept()) as number);
  }

  async nobodyElse(): Promise<boolean> {
    const NEVER_MS = 30;
    const never = new Promise<'nobody'>((resolve) => setTimeout(resolve, NEVER_MS, 'nobody'));
    return (await Promise.race([this.#listener.accept(), never])) === 'nobody';
  }

  close(): void {
    this.#listener.close();
  }
}

function open(t: Test, options: Partial<DaemonOptions> = {}) {
  const path = join(temporaryDirectory(t), 's');
  const lines: string[] = [];
  const write = (level: string) => (_: unknown, message: string) =>
    lines.push(`${level} ${message}`);
  const log: Log = {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: () => {},
  };
  const device = new RecordingDevice();
  const daemon = new Daemon({
    device,
    listener: options.listener ?? listenOnPath(path),
    log,
    workers: 2,
    engine: 'threads',
    pollUs: 0,
    once: false,
    ...options,
  });
  const ended = daemon.run();
  ended.catch(() => {});
  t.teardown(() => daemon.stop());
  const connect = () => new Peer(native.socketConnect(path));
  return { path, daemon, device, ended, lines, connect };
}

/** True when the daemon answers on this connection. */
async function answers(peer: Peer): Promise<boolean> {
  peer.send(GET_FEATURES);
  return (await peer.message()) !== undefined;
}

t.test('one session after the other', async (t) => {
  const { daemon, ended, connect, device, path } = open(t);
  for (let i = 0; i < 3; i++) {
    const peer = connect();
    t.ok(await answers(peer));
    peer.close();
  }
  await until('sessions over', () => device.calls.length === 3);
  daemon.stop();
  await ended;
  t.notOk(existsSync(path), 'the socket is gone');
});

t.test('a second front-end is turned away, the first goes on (CS-022)', async (t) => {
  const { connect, lines } = open(t);
  const first = connect();
  t.ok(await answers(first));
  const others = [connect(), connect()];
  for (const other of others) {
    t.ok(await other.ended());
    other.close();
  }
  t.ok(await answers(first));
  t.equal(lines.filter((line) => line === 'warn a second front-end was turned away').length, 2);
  first.close();
  const next = connect();
  t.ok(await answers(next), 'and the place is free again');
  next.close();
});

t.test('once: the session that negotiates, not the one that looks (trap 19)', async (t) => {
  const { ended, connect } = open(t, { once: true });
  const probe = connect();
  t.ok(await answers(probe));
  probe.close();
  const silent = connect();
  silent.close();
  const real = connect();
  real.send(SET_FEATURES);
  t.ok(await answers(real));
  real.close();
  await ended;
  t.pass('ended by itself');
});

t.test('who stalls keeps nobody out (CS-016)', async (t) => {
  const { connect, lines } = open(t, { handshakeTimeoutMs: 30, messageTimeoutMs: 30 });
  for (const bytes of [0, 5]) {
    const peer = connect();
    if (bytes > 0) {
      peer.send(GET_FEATURES.subarray(0, bytes));
    }
    t.ok(await peer.ended(), `${bytes} bytes`);
    peer.close();
  }
  const asking = connect();
  t.ok(await answers(asking));
  t.ok(await asking.ended(), 'a question is no beginning');
  asking.close();
  t.match(lines.join('\n'), /took too long/);
  for (const begin of [SET_OWNER, SET_FEATURES]) {
    const peer = connect();
    peer.send(begin);
    t.ok(await answers(peer));
    t.ok(await peer.quiet(60), 'afterwards silence has no limit');
    t.ok(await answers(peer));
    peer.close();
  }
});

t.test('a listener that is the front-end’s: connected to again and again', async (t) => {
  const path = join(temporaryDirectory(t), 'f');
  const listener = connectToPath(path, { retryMinMs: 2, retryMaxMs: 5 });
  const { daemon, ended, device, lines } = open(t, { listener, handshakeTimeoutMs: 20 });
  for (let i = 1; i <= 3; i++) {
    const frontEnd = new FrontEndSocket(path);
    const peer = await frontEnd.accept();
    t.ok(await answers(peer));
    if (i === 1) {
      t.ok(await peer.quiet(60), 'nobody else waits, so it may take its time');
      t.ok(await frontEnd.nobodyElse(), 'one connection, not two');
    }
    frontEnd.close();
    peer.close();
    await until('session over', () => device.calls.length === i);
  }
  daemon.stop();
  await ended;
  t.notMatch(lines.join('\n'), /turned away/);
});

t.test('once: a listener of the front-end’s is left after the first session', async (t) => {
  const path = join(temporaryDirectory(t), 'f');
  const frontEnd = new FrontEndSocket(path);
  const listener = connectToPath(path, { retryMinMs: 2 });
  const { ended } = open(t, { listener, once: true });
  (await frontEnd.accept()).close();
  const peer = await frontEnd.accept();
  peer.send(SET_FEATURES);
  t.ok(await answers(peer));
  peer.close();
  await ended;
  t.ok(await frontEnd.nobodyElse(), 'no further connection');
  frontEnd.close();
});

t.test('a connected descriptor: one session, then the end', async (t) => {
  const [ours, theirs] = socketPair();
  const { ended } = open(t, { listener: listenOnFd(ours) });
  const peer = new Peer(theirs);
  t.ok(await answers(peer));
  peer.close();
  await ended;
});

t.test('stop ends at any time and leaves nothing', async (t) => {
  const before = openDescriptors();
  for (const when of ['at once', 'idle', 'in a session'] as const) {
    const { daemon, ended, connect } = open(t);
    const peer = when === 'in a session' ? connect() : undefined;
    if (peer !== undefined) {
      t.ok(await answers(peer));
    } else if (when === 'idle') {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    daemon.stop();
    daemon.stop();
    await ended;
    peer?.close();
    await until(`closed, ${when}`, () => openDescriptors() <= before);
  }
  t.pass('nothing is left');
});

t.test('an exit event of the device ends the daemon', async (t) => {
  const before = openDescriptors();
  const fd = eventfd();
  const asked: number[] = [];
  class Ending extends RecordingDevice {
    exitEvent(worker: number): number {
      asked.push(worker);
      return fd;
    }
  }
  const { ended, connect, lines } = open(t, { device: new Ending() });
  const peer = connect();
  t.ok(await answers(peer));
  native.eventfdSignal(fd);
  await ended;
  t.ok(await peer.ended());
  peer.close();
  t.same(asked, [0, 1]);
  t.equal(lines.filter((line) => line === 'info the device asked to end').length, 1);
  t.equal(native.eventfdRead(fd), 1, 'it is not read');
  native.fdClose(fd);
  await until('closed', () => openDescriptors() <= before);
});

t.test('back-end requests without a channel are refused', async (t) => {
  const device = new RecordingDevice();
  const hosts: DeviceHost[] = [];
  open(t, { device: Object.assign(device, { attach: (host: DeviceHost) => hosts.push(host) }) });
  const { backend } = hosts[0] as DeviceHost;
  await t.rejects(backend.sharedObjectAdd(new Uint8Array(16).fill(7)), { code: 'CHANNEL_MISSING' });
  await t.rejects(backend.hostNotifier(0, undefined), { code: 'CHANNEL_MISSING' });
});

t.test('a device whose data half does not load fails the daemon', async (t) => {
  const device = new RecordingDevice();
  device.dataHalf = () => scriptedDataHalf({ failCreate: true });
  const { ended, lines } = open(t, { device });
  await t.rejects(ended, { message: /no such device/ });
  t.match(lines.join('\n'), /error worker failed/);
});
