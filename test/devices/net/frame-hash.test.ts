import t from 'tap';
import { Arena } from '../../../src/devices/net/arena.js';
import { FrameHash, HASH_TYPES } from '../../../src/devices/net/frame-hash.js';
import { frame } from '../../support/frames.js';
import { HASH_KEY, hashVectorFrame } from '../../support/hash-vector.js';

t.test('a published vector, and the pair it stands for', async (t) => {
  const hash = new FrameHash(new Arena(Arena.rounded(FrameHash.arenaBytes)));
  const queues = Uint16Array.of(10, 11, 12, 13);
  hash.update({ types: HASH_TYPES, key: HASH_KEY }, { queues, unclassified: 5 });
  const hashed = hash.of(hashVectorFrame(60));
  t.same(hashed, { value: 0x51ccc178, report: 2, queue: 10 }, 'TCP of IPv4');
  t.same(hash.of(frame(60)), { value: 0, report: 0, queue: 5 }, 'neither IPv4 nor IPv6');
  hash.update({ types: 1, key: HASH_KEY }, { queues, unclassified: 5 });
  t.same(hash.of(hashVectorFrame(60)), { value: 0x323e8fc2, report: 1, queue: 12 }, 'addresses');
  hash.update({ types: 0, key: HASH_KEY }, { queues, unclassified: 5 });
  t.same(hash.of(hashVectorFrame(60)), { value: 0, report: 0, queue: 5 }, 'nothing asked for');
});
