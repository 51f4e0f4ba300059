import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HostListeners } from '../../../src/devices/vsock/host-listeners.js';
import { freePort } from '../../support/free-port.js';
import { openDescriptors, temporaryDirectory } from '../../support/resources.js';

t.test('all of them, or none', async (t) => {
  const directory = temporaryDirectory(t);
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const;
  const before = openDescriptors();
  const wanted = {
    udsPath: join(directory, 'v'),
    listens: [
      { at: { kind: 'unix', path: join(directory, 'l') } as const, guestPort: 7 },
      { at: tcp, guestPort: 8 },
    ],
    parentPorts: [],
  };
  const listeners = new HostListeners(wanted);
  t.match(listeners.uds, { path: wanted.udsPath });
  t.match(listeners.ends, [{ guestPort: 7 }, { guestPort: 8 }]);
  t.throws(
    () =>
      new HostListeners({
        ...wanted,
        udsPath: join(directory, 'w'),
        listens: [{ at: tcp, guestPort: 9 }],
      }),
    { code: 'EADDRINUSE' },
  );
  t.notOk(existsSync(join(directory, 'w')), 'what was opened before the fault is gone');
  listeners.close();
  t.equal(openDescriptors(), before);
  t.notOk(existsSync(join(directory, 'v')) || existsSync(join(directory, 'l')));
});
