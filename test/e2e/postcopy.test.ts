// The end of a postcopy migration: a disk whose guest memory is still on its way.

import { readlinkSync } from 'node:fs';
import t from 'tap';
import {
  encodeFrontendRequest,
  encodeRequest,
  frontendRequest,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_RING_PACKED,
} from '../../src/core/protocol/index.js';
import { postcopySupported } from '../../src/core/session/postcopy.js';
import { native, READABLE } from '../../src/native/index.js';
import type { TestFrontend } from '../../src/testing/index.js';
import { checkHealthy, drained, pause, postWrites, type Scene, withDaemon } from './support.js';

const skip = postcopySupported() ? false : 'the kernel forbids userfaultfd';

/** A front-end whose memory is registered for page faults, and its end of the userfaultfd. */
async function listening(scene: Scene): Promise<{ frontend: TestFrontend; faultFd: number }> {
  const whole = scene.connect();
  const { frontend, memory } = whole;
  const offered = await frontend.getProtocolFeatures();
  await frontend.setProtocolFeatures(offered & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
  whole.features = (await frontend.getFeatures()) & ~VIRTIO_F_RING_PACKED;
  await frontend.setFeatures(whole.features);
  const options = { needReply: true };
  frontend.sendRaw(encodeFrontendRequest('POSTCOPY_ADVISE', undefined, options));
  const faultFd = (await frontend.receive()).fds.take();
  await frontend.request('POSTCOPY_LISTEN', undefined);
  frontend.sendRaw(encodeFrontendRequest('ADD_MEM_REG', memory.region, options), [memory.fd]);
  const { payload } = await frontend.receive();
  const told = payloadCodec('singleRegion').decode(payload);
  if (told.guestAddress !== memory.guestBase || told.userAddress === memory.userBase) {
    throw new Error('the region came back with another address than the daemon has it at');
  }
  frontend.sendRaw(encodeRequest(frontendRequest('ADD_MEM_REG').id, new Uint8Array(8), options));
  return { frontend: whole, faultFd };
}

async function faultComes(fd: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const watcher = new native.Watcher(fd, () => {
      watcher.close();
      resolve();
    });
    watcher.watch(READABLE);
  });
}

t.test('a request waits for its page; the end lets it go', { skip }, async (t) => {
  await withDaemon(t, ['--postcopy'], async (scene) => {
    const { frontend, faultFd } = await listening(scene);
    t.equal(readlinkSync(`/proc/self/fd/${faultFd}`), 'anon_inode:[userfaultfd]');
    await frontend.startQueues();
    // Their data pages have never been touched: holes in the shared file.
    const [posted] = postWrites(frontend, 1);
    await faultComes(faultFd);
    await pause(20);
    const status = () => frontend.memory.bytes[posted?.statusOffset ?? 0];
    t.not(status(), 0, 'waits');
    t.equal(await frontend.frontend.request('POSTCOPY_END', undefined), 0n);
    t.ok(await drained(frontend));
    t.equal(status(), 0);
    frontend.close();
    native.fdClose(faultFd);
    await checkHealthy(t, scene);
  });
});

t.test('a front-end that goes away while a page is missing', { skip }, async (t) => {
  await withDaemon(t, ['--postcopy'], async (scene) => {
    const { frontend, faultFd } = await listening(scene);
    await frontend.startQueues();
    postWrites(frontend, 4);
    await faultComes(faultFd);
    frontend.close();
    await checkHealthy(t, scene, 'with the descriptor still open elsewhere');
    native.fdClose(faultFd);
  });
});

t.test('only when asked for', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const { frontend } = scene.connect();
    const offered = await frontend.getProtocolFeatures();
    t.equal(offered & 0x100n, 0n);
    frontend.close();
  });
});
