// Memory tables and slots over the wire.

import t from 'tap';
import { native } from '../../../../src/native/index.js';
import { memfd } from '../../../support/resources.js';
import { SessionRig } from '../../../support/session-rig.js';

const OK = 0n;
const NACK = 1n;

t.test('memory: tables and slots', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const fd = memfd(65536);
  const region = (at: bigint, sizeBytes = 4096n) => ({
    guestAddress: at,
    userAddress: 0x7000_0000n + at,
    sizeBytes,
    mmapOffsetBytes: 0n,
  });
  const one = { fds: [fd] };
  t.equal(await rig.ask('SET_MEM_TABLE', { regions: [region(0n)] }, one), OK);
  t.equal(rig.session.memory.regionCount, 1);
  t.equal(await rig.ask('SET_MEM_TABLE', { regions: [] }), NACK, 'no regions');
  const twice = { regions: [region(0n), region(0n)] };
  t.equal(await rig.ask('SET_MEM_TABLE', twice, { fds: [fd, fd] }), NACK, 'overlap');
  const short = { regions: [region(0n, 65537n)] };
  t.equal(await rig.ask('SET_MEM_TABLE', short, one), NACK, 'file too short');
  t.equal(rig.session.memory.regionCount, 1, 'a refusal changes nothing');
  t.match(rig.lines.join('\n'), /overlaps another region/);
  t.match(rig.lines.join('\n'), /shorter than offset plus size/);
  t.equal(await rig.ask('ADD_MEM_REG', region(0x10000n), one), OK);
  t.equal(await rig.ask('ADD_MEM_REG', region(0x10000n), one), OK, 'the same again');
  t.equal(rig.session.memory.regionCount, 2);
  t.equal(await rig.ask('REM_MEM_REG', region(0n)), OK);
  t.equal(await rig.ask('REM_MEM_REG', region(0n)), NACK, 'there is none any more');
  t.equal(await rig.ask('REM_MEM_REG', region(0x10000n), one), OK, 'with a descriptor too');
  t.equal(rig.session.memory.regionCount, 0);
  t.same(rig.device.notices.slice(1), ['memory 1', 'memory 2', 'memory 2', 'memory 1', 'memory 0']);
  native.fdClose(fd);
});
