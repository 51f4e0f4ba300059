// IOTLB_MSG over the wire, to a session without rings; with rings in e2e/iotlb.test.ts.

import t from 'tap';
import {
  IOTLB_PERM_READ_WRITE,
  IOTLB_TYPE_INVALIDATE,
  IOTLB_TYPE_MISS,
  IOTLB_TYPE_UPDATE,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../../../../src/core/protocol/index.js';
import { native } from '../../../../src/native/index.js';
import { memfd } from '../../../support/resources.js';
import { RecordingDevice, SessionRig } from '../../../support/session-rig.js';

const OK = 0n;
const NACK = 1n;

class IommuDevice extends RecordingDevice {
  override features(): bigint {
    return super.features() | VIRTIO_F_ACCESS_PLATFORM;
  }
}

const UPDATE = {
  iova: 0x1_0000n,
  sizeBytes: 4096n,
  userAddress: 0x7000_0000n,
  perm: IOTLB_PERM_READ_WRITE,
  type: IOTLB_TYPE_UPDATE,
};

t.test('updates and invalidations are always answered', async (t) => {
  const rig = new SessionRig(t, { device: new IommuDevice() });
  await rig.negotiate();
  const plain = { needReply: false };
  t.equal(await rig.ask('IOTLB_MSG', UPDATE, plain), NACK, 'no memory yet');
  const fd = memfd(65536);
  const region = { guestAddress: 0n, userAddress: 0x7000_0000n, sizeBytes: 65536n };
  const table = { regions: [{ ...region, mmapOffsetBytes: 0n }] };
  t.equal(await rig.ask('SET_MEM_TABLE', table, { fds: [fd] }), OK);
  native.fdClose(fd);
  t.equal(await rig.ask('IOTLB_MSG', UPDATE, plain), OK);
  const former = rig.session.memory.id;
  t.equal(await rig.ask('IOTLB_MSG', UPDATE, plain), OK);
  t.equal(rig.session.memory.id, former, 'the same again changes nothing');
  t.equal(await rig.ask('IOTLB_MSG', { ...UPDATE, perm: 0 }), NACK);
  t.equal(await rig.ask('IOTLB_MSG', { ...UPDATE, type: IOTLB_TYPE_MISS }), NACK);
  t.equal(await rig.ask('IOTLB_MSG', { ...UPDATE, userAddress: 0x7000_f001n }), NACK);
  t.equal(rig.session.memory.id, former, 'refusals change nothing');
  t.match(rig.lines.join('\n'), /leads outside memory/);
  const all = { ...UPDATE, type: IOTLB_TYPE_INVALIDATE, iova: 0n, sizeBytes: 0n };
  t.equal(await rig.ask('IOTLB_MSG', all, plain), OK);
  t.not(rig.session.memory.id, former);
});

t.test('CS-087: without the feature', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  t.equal(await rig.ask('IOTLB_MSG', UPDATE), NACK);
});
