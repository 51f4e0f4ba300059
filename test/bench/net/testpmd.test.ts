import t from 'tap';
import { netVhost, virtioUser } from '../../../bench/net/testpmd.js';

t.test('ports as EAL wants them', async (t) => {
  const port = { socket: '/s', packed: true, mergeable: false, inOrder: false };
  t.equal(
    virtioUser(port),
    'net_virtio_user0,path=/s,queues=1,queue_size=256,mac=52:54:00:00:01:00,packed_vq=1,mrg_rxbuf=0,in_order=0',
  );
  t.match(virtioUser({ ...port, inOrder: true, packed: false }), /packed_vq=0,.*in_order=1$/);
  t.equal(netVhost('/s', 1), 'net_vhost1,iface=/s,queues=1');
});
