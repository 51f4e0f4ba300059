import t from 'tap';
import { portArenaBytes } from '../../../src/devices/net/host-end.js';
import { StreamPort } from '../../../src/devices/net/ports/stream-port.js';
import { TapPort } from '../../../src/devices/net/ports/tap-port.js';

t.test('what a port takes of the arena', async (t) => {
  t.equal(portArenaBytes({ kind: 'null' }, 256), 0);
  t.equal(portArenaBytes({ kind: 'datagram', fd: 0, remote: '' }, 256), 0);
  t.equal(portArenaBytes({ kind: 'tap', fds: [0] }, 256), TapPort.arenaBytes(256));
  t.equal(portArenaBytes({ kind: 'stream', path: '' }, 256), StreamPort.arenaBytes);
});
