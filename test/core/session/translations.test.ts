import t from 'tap';
import { SILENT_LOG } from '../../../src/core/log.js';
import {
  IOTLB_TYPE_MISS,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../../../src/core/protocol/index.js';
import { addressingOf, Translations } from '../../../src/core/session/translations.js';
import { ADDRESSING_GUEST, ADDRESSING_IO } from '../../../src/native/index.js';

t.test('what was negotiated says how addresses are read', async (t) => {
  const [io, guest] = [VIRTIO_F_ACCESS_PLATFORM, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES];
  t.equal(addressingOf(0n, 0n), 0);
  t.equal(addressingOf(io, 0n), ADDRESSING_IO);
  t.equal(addressingOf(0n, guest), ADDRESSING_GUEST);
  t.equal(addressingOf(io, guest), ADDRESSING_IO | ADDRESSING_GUEST);
});

t.test('misses reach the channel there is, and one that comes later', async (t) => {
  const said: string[] = [];
  const translations = new Translations(SILENT_LOG, ({ iova, perm, type }) =>
    said.push(`${type === IOTLB_TYPE_MISS ? 'miss' : 'fail'} ${iova} ${perm}`),
  );
  const miss = { queue: 0, iova: 0x1000n, permission: 1, missing: true };
  translations.fault(miss);
  translations.fault({ ...miss, queue: 1, iova: 0x2000n, permission: 2 });
  translations.fault({ ...miss, queue: 2, iova: 0x3000n });
  t.same(said.splice(0), ['miss 4096 1', 'miss 8192 2', 'miss 12288 1']);
  translations.channelOpened();
  t.same(said.splice(0), ['miss 4096 1', 'miss 8192 2', 'miss 12288 1']);
  translations.changed({ first: 0n, last: 0x1000n });
  translations.forget(2);
  translations.fault({ queue: 3, iova: 5n, permission: 2, missing: false });
  t.same(said.splice(0), ['fail 5 2']);
  translations.channelOpened();
  t.same(said, ['miss 8192 2'], 'only what is still waited for');
});
