// The life cycle with back-ends of memory: one with the trait alone, one with everything.

import t, { type Test } from 'tap';
import {
  type BackendRequestHandlers,
  type InflightArea,
  VhostDevice,
  type VhostDeviceBackend,
  type VhostDeviceOptions,
} from '../../../src/core/frontend/index.js';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_STATUS,
  VIRTIO_F_VERSION_1,
} from '../../../src/core/protocol/index.js';
import { ALL_PROTOCOL_FEATURES } from '../../support/frontend-pair.js';
import { memfd, openDescriptors } from '../../support/resources.js';
import { scriptedVhostBackend } from '../../support/scripted-vhost-backend.js';

const OFFERED = VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES | 0b110n;
const MEMORY = [
  {
    guestAddress: 0n,
    userAddress: 0x1000n,
    sizeBytes: 0x10000n,
    mmapOffsetBytes: 0n,
    mmapHandle: 3,
  },
];
const QUEUE = {
  size: 64,
  descTableAddress: 0x0n,
  availRingAddress: 0x1000n,
  usedRingAddress: 0x2000n,
};
const AREA = {
  mmapSizeBytes: 4096n,
  mmapOffsetBytes: 0n,
  queueCount: 1,
  queueSize: 64,
  encodedBytes: 24 as const,
};

/** Everything a VhostUserFrontend has, in memory. */
function full(protocolFeatures = ALL_PROTOCOL_FEATURES) {
  let status = 0;
  let handlers: BackendRequestHandlers = {};
  const answers: Partial<VhostDeviceBackend> = {
    protocolFeatures: 0n,
    getProtocolFeatures: async () => protocolFeatures,
    getQueueNum: async () => 2n,
    getMaxMemSlots: async () => 32n,
    addMemRegion: async () => {},
    removeMemRegion: async () => {},
    setVringEnable: async () => {},
    getConfig: async (_, size) => new Uint8Array(size),
    setConfig: async () => {},
    getStatus: async () => status,
    setStatus: async (next) => {
      status = next;
    },
    resetDevice: async () => {},
    sendIotlb: async () => {},
    getInflightFd: async () => ({ area: AREA, fd: memfd(4096) }),
    setInflightFd: async () => {},
    serveBackendRequests: async (given) => {
      handlers = given;
      return undefined as never;
    },
    close: () => {},
  };
  const scripted = scriptedVhostBackend(OFFERED, {
    ...answers,
    setProtocolFeatures: async (features) => {
      (scripted.backend as { protocolFeatures: bigint }).protocolFeatures = features;
    },
  });
  return {
    ...scripted,
    handlers: () => handlers,
    refuseFeatures: () => Object.assign(scripted.backend, { getStatus: async () => 3 }),
  };
}

async function device(t: Test, options: Partial<VhostDeviceOptions> = {}) {
  const scripted = full();
  const made = await VhostDevice.init({ backend: scripted.backend, queueCount: 1, ...options });
  t.teardown(() => made.cleanup());
  return { ...scripted, device: made };
}

t.test('the trait is enough for the cycle', async (t) => {
  const before = openDescriptors();
  const { backend, takeNames } = scriptedVhostBackend(VIRTIO_F_VERSION_1);
  const bare = await VhostDevice.init({ backend, queueCount: 1 });
  t.same(takeNames(), ['getFeatures', 'setOwner', 'getFeatures', 'setVringCall']);
  bare.ackFeatures([VIRTIO_F_VERSION_1], VIRTIO_F_VERSION_1);
  bare.enableNotifiers();
  await bare.start({ memory: MEMORY, queues: [QUEUE] });
  t.same(takeNames().slice(0, 3), ['setFeatures', 'setMemTable', 'setVringNum']);
  t.same(await bare.stop(), [0]);
  t.same(takeNames(), ['getVringBase']);
  await t.rejects(bare.getConfig(8), { code: 'INVALID_OPERATION' }, 'no config space');
  t.equal(await bare.getInflight(64), undefined);
  bare.cleanup();
  t.equal(openDescriptors(), before);
});

t.test('everything, in QEMU’s order', async (t) => {
  const { device: all, takeNames } = await device(t, { queueCount: 2 });
  t.same(takeNames(), [
    'getFeatures',
    'getProtocolFeatures',
    'setProtocolFeatures',
    'getQueueNum',
    'getMaxMemSlots',
    'serveBackendRequests',
    'setOwner',
    'getFeatures',
    'setVringCall',
    'setVringCall',
  ]);
  t.equal(all.freeMemorySlots, 32);
  all.enableNotifiers();
  all.ackFeatures([VIRTIO_F_VERSION_1], VIRTIO_F_VERSION_1);
  await all.start({ memory: MEMORY, queues: [QUEUE] });
  const names = takeNames();
  const order = ['setFeatures', 'addMemRegion', 'setVringNum', 'setVringKick', 'setVringEnable'];
  const places = order.map((name) => names.indexOf(name));
  t.same(
    places,
    [...places].sort((a, b) => a - b),
    'order',
  );
  t.equal(names.at(-1), 'setStatus', 'DRIVER_OK last');
  t.equal(await all.backend.getStatus?.(), 15);
  takeNames();
  await all.stop();
  t.same(takeNames(), ['setVringEnable', 'getVringBase', 'setStatus']);
  await all.reset();
  t.same(takeNames(), ['resetDevice']);
});

t.test('what may not be', async (t) => {
  const before = openDescriptors();
  const few = VhostDevice.init({ backend: full().backend, queueCount: 1, queueNumMin: 3 });
  await t.rejects(few, { code: 'INVALID_OPERATION', message: /2 queues, needed 3/ });
  t.equal(openDescriptors(), before, 'nothing left of it');
  const { device: made, refuseFeatures } = await device(t);
  const setup = { memory: MEMORY, queues: [QUEUE] };
  await t.rejects(made.start(setup), { code: 'INVALID_OPERATION', message: /notifiers/ });
  await t.rejects(made.startLog(), { code: 'INVALID_OPERATION' });
  made.enableNotifiers();
  await t.rejects(made.start({ ...setup, queues: [QUEUE, QUEUE] }), { code: 'INVALID_OPERATION' });
  const outside = { ...QUEUE, usedRingAddress: 0x10_0000n };
  await t.rejects(made.start({ ...setup, queues: [outside] }), { code: 'INVALID_QUEUE' });
  t.equal(made.started, false, 'stopped again');
  refuseFeatures();
  await t.rejects(made.start(setup), { message: /refused the features/ });
});

t.test('features', async (t) => {
  const { device: made } = await device(t);
  t.equal(made.getFeatures([2n, 8n], 2n | 8n | 16n), 2n | 16n, '16 is nobody’s business here');
  made.ackFeatures([2n, 4n], 2n | 16n);
  t.equal(made.ackedFeatures, VHOST_USER_F_PROTOCOL_FEATURES | 2n);
});

t.test('protocol features may be more or less', async (t) => {
  const { device: made } = await device(t, {
    withoutProtocolFeatures: VHOST_USER_PROTOCOL_F_STATUS,
    moreProtocolFeatures: VHOST_USER_PROTOCOL_F_MTU,
  });
  const taken = made.backend.protocolFeatures as bigint;
  t.same([taken & VHOST_USER_PROTOCOL_F_STATUS, taken & VHOST_USER_PROTOCOL_F_MTU], [0n, 16n]);
});

t.test('the back-end’s requests', async (t) => {
  const translate = (iova: bigint) =>
    iova === 0x5000n
      ? { iova, userAddress: 0x6000n, sizeBytes: 4096n, readable: true, writable: false }
      : undefined;
  const {
    device: made,
    handlers,
    calls,
  } = await device(t, {
    translate,
    backendRequests: { vringErr: () => {} },
  });
  t.type(handlers().vringErr, 'function', 'the caller’s own too');
  await t.rejects(async () => handlers().configChanged?.(), { code: 'INVALID_OPERATION' });
  let changes = 0;
  made.setConfigNotifier(() => void changes++);
  await handlers().configChanged?.();
  t.equal(changes, 1);
  const miss = { iova: 0x5000n, sizeBytes: 0n, userAddress: 0n, perm: 1, type: 1 };
  await handlers().iotlb?.(miss);
  t.same(calls.at(-1), [
    'sendIotlb',
    { iova: 0x5000n, userAddress: 0x6000n, sizeBytes: 4096n, perm: 1, type: 2 },
  ]);
  for (const bad of [
    { ...miss, perm: 2 },
    { ...miss, iova: 1n },
    { ...miss, type: 4 },
  ]) {
    await t.rejects(async () => handlers().iotlb?.(bad), { code: 'INVALID_OPERATION' });
  }
});

t.test('the inflight area', async (t) => {
  const { device: made, calls, takeNames } = await device(t);
  takeNames();
  await made.prepareInflight();
  const area = (await made.getInflight(64)) as InflightArea;
  await made.setInflight(area);
  t.same(calls, [
    ['setFeatures', 0n],
    ['getInflightFd', 1, 64],
    ['setInflightFd', { area: AREA, fd: area.fd }],
  ]);
  area.free();
  const without = await device(t, {
    withoutProtocolFeatures: VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  });
  without.takeNames();
  await without.device.prepareInflight();
  await without.device.setInflight(area);
  t.same(without.takeNames(), [], 'not negotiated: nothing is asked');
});
