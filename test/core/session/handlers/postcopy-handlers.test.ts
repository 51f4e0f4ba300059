// POSTCOPY_* over the wire; with rings and missing pages in e2e/postcopy.test.ts.

import t from 'tap';
import {
  encodeRequest,
  HEADER_BYTES,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
} from '../../../../src/core/protocol/index.js';
import { postcopySupported } from '../../../../src/core/session/postcopy.js';
import { native } from '../../../../src/native/index.js';
import { memfd } from '../../../support/resources.js';
import { RecordingDevice, SessionRig } from '../../../support/session-rig.js';

const OK = 0n;
const NACK = 1n;
const SET_MEM_TABLE = 5;
const skip = postcopySupported() ? false : 'the kernel forbids userfaultfd';

class PostcopyDevice extends RecordingDevice {
  override protocolFeatures(): bigint {
    return VHOST_USER_PROTOCOL_F_PAGEFAULT;
  }
}

/** The payload of the next message: regions, where the table of requests says u64. */
async function answer({ peer }: SessionRig): Promise<Uint8Array> {
  return ((await peer.message()) ?? new Uint8Array(0)).slice(HEADER_BYTES);
}

t.test('not offered where the kernel forbids it, refused without the feature', async (t) => {
  const able = new SessionRig(t, { device: new PostcopyDevice() });
  const offered = (await able.ask('GET_PROTOCOL_FEATURES', undefined)) as bigint;
  t.equal((offered & VHOST_USER_PROTOCOL_F_PAGEFAULT) !== 0n, postcopySupported());
  const rig = new SessionRig(t);
  await rig.negotiate();
  t.equal(await rig.ask('POSTCOPY_LISTEN', undefined), NACK);
  t.equal(await rig.ask('POSTCOPY_END', undefined), NACK);
  t.equal(await rig.ask('POSTCOPY_ADVISE', undefined), 'empty', 'no descriptor: refused (CS-086)');
});

t.test('the order of things, and memory by our addresses', { skip }, async (t) => {
  const rig = new SessionRig(t, { device: new PostcopyDevice() });
  await rig.negotiate();
  t.equal(await rig.ask('POSTCOPY_LISTEN', undefined), NACK, 'not advised');
  t.equal(await rig.ask('POSTCOPY_END', undefined), NACK, 'nothing to end');
  t.equal(await rig.ask('POSTCOPY_ADVISE', undefined), 'empty');
  t.equal(await rig.ask('POSTCOPY_LISTEN', undefined), OK);
  const fd = memfd(65536);
  const region = (at: bigint) => ({
    guestAddress: at,
    userAddress: 0x7000_0000n + at,
    sizeBytes: 8192n,
    mmapOffsetBytes: at,
  });
  const table = { regions: [region(0n), region(0x2000n)] };
  rig.send('SET_MEM_TABLE', table, { needReply: true, fds: [fd, fd] });
  const { regions } = payloadCodec('memTable').decode(await answer(rig));
  t.same(
    regions.map((answer) => ({ ...answer, userAddress: 0n })),
    table.regions.map((asked) => ({ ...asked, userAddress: 0n })),
    'everything else is as asked',
  );
  t.ok(regions.every(({ userAddress }, i) => userAddress !== table.regions[i]?.userAddress));
  t.equal(rig.session.memory.regionCount, 0, 'not before the acknowledgement');
  t.equal(await rig.ask('REM_MEM_REG', region(0n)), NACK);
  rig.peer.send(encodeRequest(SET_MEM_TABLE, new Uint8Array(8), { needReply: true }));
  rig.send('ADD_MEM_REG', region(0x4000n), { fds: [fd] });
  const added = payloadCodec('singleRegion').decode(await answer(rig));
  t.not(added.userAddress, region(0x4000n).userAddress, 'the acknowledgement had no reply');
  t.equal(rig.session.memory.regionCount, 2);
  rig.peer.send(encodeRequest(37, new Uint8Array(8), { needReply: true }));
  t.equal(await rig.ask('POSTCOPY_END', undefined), OK);
  t.equal(rig.session.memory.regionCount, 3);
  t.equal(await rig.ask('SET_MEM_TABLE', table, { fds: [fd, fd] }), OK, 'as always again');
  native.fdClose(fd);
});
