import t from 'tap';
import { rarpFrame } from '../../../src/devices/net/rarp.js';
import { macBytes } from '../../support/frames.js';

t.test('is what RFC 903 says', async (t) => {
  const hex = Buffer.from(rarpFrame(macBytes('52:54:00:01:02:03'))).toString('hex');
  t.equal(
    hex,
    ['ffffffffffff525400010203', '8035', '0001080006040003', '52540001020300000000']
      .concat('52540001020300000000', '00'.repeat(18))
      .join(''),
  );
});
