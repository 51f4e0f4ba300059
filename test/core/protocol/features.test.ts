import t from 'tap';
import * as features from '../../../src/core/protocol/features.js';

t.test('a feature mask is one bit, at the place the documents give it', (t) => {
  const virtioBits: [string, number][] = [
    ['VIRTIO_F_NOTIFY_ON_EMPTY', 24],
    ['VHOST_F_LOG_ALL', 26],
    ['VIRTIO_F_ANY_LAYOUT', 27],
    ['VIRTIO_F_RING_INDIRECT_DESC', 28],
    ['VIRTIO_F_RING_EVENT_IDX', 29],
    ['VHOST_USER_F_PROTOCOL_FEATURES', 30],
    ['VIRTIO_F_VERSION_1', 32],
    ['VIRTIO_F_ACCESS_PLATFORM', 33],
    ['VIRTIO_F_RING_PACKED', 34],
    ['VIRTIO_F_IN_ORDER', 35],
    ['VIRTIO_F_ORDER_PLATFORM', 36],
    ['VIRTIO_F_SR_IOV', 37],
    ['VIRTIO_F_NOTIFICATION_DATA', 38],
    ['VIRTIO_F_NOTIF_CONFIG_DATA', 39],
    ['VIRTIO_F_RING_RESET', 40],
    ['VIRTIO_F_ADMIN_VQ', 41],
    ['VIRTIO_F_SUSPEND', 43],
  ];
  t.same(
    Object.entries(features.VIRTIO_FEATURES),
    virtioBits.map(([name, bit]) => [name, 1n << BigInt(bit)]),
  );
  const protocolNames = [
    ['MQ', 'LOG_SHMFD', 'RARP', 'REPLY_ACK', 'MTU', 'BACKEND_REQ', 'CROSS_ENDIAN'],
    ['CRYPTO_SESSION', 'PAGEFAULT', 'CONFIG', 'BACKEND_SEND_FD', 'HOST_NOTIFIER'],
    ['INFLIGHT_SHMFD', 'RESET_DEVICE', 'INBAND_NOTIFICATIONS', 'CONFIGURE_MEM_SLOTS'],
    ['STATUS', 'XEN_MMAP', 'SHARED_OBJECT', 'DEVICE_STATE', 'GET_VRING_BASE_INFLIGHT'],
    ['GPA_ADDRESSES', 'SHMEM'],
  ].flat();
  t.same(
    Object.entries(features.PROTOCOL_FEATURES),
    protocolNames.map((name, bit) => [`VHOST_USER_PROTOCOL_F_${name}`, 1n << BigInt(bit)]),
  );
  t.end();
});

t.test('every exported mask is in one of the two name tables', (t) => {
  const tables = { ...features.VIRTIO_FEATURES, ...features.PROTOCOL_FEATURES };
  const { RING_FEATURES, ...single } = features;
  const masks = Object.entries(single).filter(([, value]) => typeof value === 'bigint');
  t.same(Object.fromEntries(masks), tables);
  t.same(features.featureNames(RING_FEATURES), [
    'VIRTIO_F_RING_INDIRECT_DESC',
    'VIRTIO_F_RING_EVENT_IDX',
    'VIRTIO_F_VERSION_1',
    'VIRTIO_F_RING_PACKED',
  ]);
  t.end();
});

t.test('names come lowest bit first, unknown bits keep their number', (t) => {
  t.same(features.featureNames(0n), []);
  t.same(features.featureNames((1n << 63n) | (1n << 32n) | (1n << 5n)), [
    'bit 5',
    'VIRTIO_F_VERSION_1',
    'bit 63',
  ]);
  t.same(features.featureNames(1n << 5n, { VIRTIO_BLK_F_RO: 1n << 5n }), ['VIRTIO_BLK_F_RO']);
  t.same(features.protocolFeatureNames(0x80_0009n), [
    'VHOST_USER_PROTOCOL_F_MQ',
    'VHOST_USER_PROTOCOL_F_REPLY_ACK',
    'bit 23',
  ]);
  t.end();
});

t.test('hasFeature wants every bit of the mask', (t) => {
  t.equal(features.hasFeature(0b111n, 0b101n), true);
  t.equal(features.hasFeature(0b001n, 0b101n), false);
  t.equal(features.hasFeature(0n, 0n), true);
  t.end();
});
