// Feature bits that belong to no device: virtio transport bits, the two vhost bits that share their
// word, and the vhost-user protocol feature bits. Every constant is a mask, never a bit number.

/** Legacy: interrupt when the driver's available ring runs empty. */
export const VIRTIO_F_NOTIFY_ON_EMPTY = 1n << 24n;
/** vhost, not virtio: while it is acknowledged the back-end logs its writes to guest memory. */
export const VHOST_F_LOG_ALL = 1n << 26n;
/** Legacy: no assumption about how a request is split over descriptors. */
export const VIRTIO_F_ANY_LAYOUT = 1n << 27n;
export const VIRTIO_F_RING_INDIRECT_DESC = 1n << 28n;
export const VIRTIO_F_RING_EVENT_IDX = 1n << 29n;
/** vhost-user, not virtio: GET_PROTOCOL_FEATURES exists once this is in the GET_FEATURES reply. */
export const VHOST_USER_F_PROTOCOL_FEATURES = 1n << 30n;
export const VIRTIO_F_VERSION_1 = 1n << 32n;
export const VIRTIO_F_ACCESS_PLATFORM = 1n << 33n;
export const VIRTIO_F_RING_PACKED = 1n << 34n;
export const VIRTIO_F_IN_ORDER = 1n << 35n;
export const VIRTIO_F_ORDER_PLATFORM = 1n << 36n;
export const VIRTIO_F_SR_IOV = 1n << 37n;
export const VIRTIO_F_NOTIFICATION_DATA = 1n << 38n;
export const VIRTIO_F_NOTIF_CONFIG_DATA = 1n << 39n;
export const VIRTIO_F_RING_RESET = 1n << 40n;
export const VIRTIO_F_ADMIN_VQ = 1n << 41n;
export const VIRTIO_F_SUSPEND = 1n << 43n;

/** What the rings of this library do, whatever the device. IN_ORDER and RING_RESET are left to the
 *  device: its answers may come late, or a queue that begins anew mean a new driver. */
export const RING_FEATURES =
  VIRTIO_F_VERSION_1 | VIRTIO_F_RING_INDIRECT_DESC | VIRTIO_F_RING_EVENT_IDX | VIRTIO_F_RING_PACKED;

export const VHOST_USER_PROTOCOL_F_MQ = 1n << 0n;
export const VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1n << 1n;
export const VHOST_USER_PROTOCOL_F_RARP = 1n << 2n;
export const VHOST_USER_PROTOCOL_F_REPLY_ACK = 1n << 3n;
export const VHOST_USER_PROTOCOL_F_MTU = 1n << 4n;
export const VHOST_USER_PROTOCOL_F_BACKEND_REQ = 1n << 5n;
export const VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 1n << 6n;
export const VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 1n << 7n;
export const VHOST_USER_PROTOCOL_F_PAGEFAULT = 1n << 8n;
export const VHOST_USER_PROTOCOL_F_CONFIG = 1n << 9n;
export const VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 1n << 10n;
export const VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 1n << 11n;
export const VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 1n << 12n;
export const VHOST_USER_PROTOCOL_F_RESET_DEVICE = 1n << 13n;
export const VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 1n << 14n;
export const VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 1n << 15n;
export const VHOST_USER_PROTOCOL_F_STATUS = 1n << 16n;
export const VHOST_USER_PROTOCOL_F_XEN_MMAP = 1n << 17n;
export const VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 1n << 18n;
export const VHOST_USER_PROTOCOL_F_DEVICE_STATE = 1n << 19n;
export const VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 1n << 20n;
/** rust-vmm `vhost` 0.16 means SHMEM by this bit, so seeing it never proves what the peer meant. */
export const VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 1n << 21n;
export const VHOST_USER_PROTOCOL_F_SHMEM = 1n << 22n;

/** Names to masks; a device passes its own table of this shape to `featureNames`. */
export type FeatureTable = Readonly<Record<string, bigint>>;

export const VIRTIO_FEATURES = {
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VHOST_F_LOG_ALL,
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_F_RING_INDIRECT_DESC,
  VIRTIO_F_RING_EVENT_IDX,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_SR_IOV,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_NOTIF_CONFIG_DATA,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_ADMIN_VQ,
  VIRTIO_F_SUSPEND,
} as const satisfies FeatureTable;

export const PROTOCOL_FEATURES = {
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_RARP,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_XEN_MMAP,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_SHMEM,
} as const satisfies FeatureTable;

/** True when every bit of `mask` is set in `bits`. */
export function hasFeature(bits: bigint, mask: bigint): boolean {
  return (bits & mask) === mask;
}

/** Names of the set virtio bits, lowest first; `deviceFeatures` adds one device's own names. */
export function featureNames(bits: bigint, deviceFeatures: FeatureTable = {}): string[] {
  return namesOf(bits, { ...VIRTIO_FEATURES, ...deviceFeatures });
}

/** Names of the set protocol feature bits, lowest first. */
export function protocolFeatureNames(bits: bigint): string[] {
  return namesOf(bits, PROTOCOL_FEATURES);
}

/** Both feature words are one u64 on this channel; a wider virtio bit can't be negotiated here. */
const FEATURE_BITS = 64;

function namesOf(bits: bigint, table: FeatureTable): string[] {
  const nameByMask = new Map(Object.entries(table).map(([name, mask]) => [mask, name]));
  const names: string[] = [];
  for (let bit = 0; bit < FEATURE_BITS; bit++) {
    const mask = 1n << BigInt(bit);
    if ((bits & mask) !== 0n) {
      names.push(nameByMask.get(mask) ?? `bit ${bit}`);
    }
  }
  return names;
}
