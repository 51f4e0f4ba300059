import t from 'tap';
import { SiblingDoors } from '../../../src/devices/vsock/sibling-doors.js';
import { openDescriptors } from '../../support/resources.js';

t.test('VS-042 nothing across groups', async (t) => {
  const before = openDescriptors();
  const doors = new SiblingDoors([
    { guestCid: 3, groups: ['a'] },
    { guestCid: 4, groups: ['a', 'b'] },
    { guestCid: 5, groups: ['b'] },
    { guestCid: 6, groups: [] },
    { guestCid: 7, groups: [] },
  ]);
  const known = (cid: number) => doors.of(cid)?.others.map((other) => other.cid);
  t.same([3, 4, 5, 6, 7].map(known), [[4], [3, 5], [4], [], []]);
  t.equal(doors.of(8), undefined);
  doors.close();
  t.equal(openDescriptors(), before);
});
