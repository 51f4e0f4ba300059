import t from 'tap';
import { AddressListener } from '../../../src/devices/vsock/address-listener.js';
import { native } from '../../../src/native/index.js';
import { freePort } from '../../support/free-port.js';
import { openDescriptors } from '../../support/resources.js';

t.test('a TCP port of ours', async (t) => {
  const port = await freePort();
  const before = openDescriptors();
  const listener = AddressListener.tcp('127.0.0.1', port);
  t.throws(() => AddressListener.tcp('127.0.0.1', port), {
    code: 'EADDRINUSE',
    message: `TCP port ${port} of 127.0.0.1 is in use by another process`,
  });
  listener.close();
  listener.close();
  t.equal(openDescriptors(), before);
});

t.test('an address of somebody else', async (t) => {
  t.throws(() => AddressListener.tcp('192.0.2.1', 80), /is no address of this host/);
});

t.test('AF_VSOCK, or the reason why not', async (t) => {
  const port = 0x4000_1234;
  try {
    const listener = AddressListener.vsock(port);
    t.throws(() => AddressListener.vsock(port), /AF_VSOCK port \d+ is in use/);
    listener.close();
    t.equal(native.fdKind(listener.fd) < 0, true, 'closed');
  } catch (error) {
    t.match(error, { code: 'EAFNOSUPPORT', message: /this kernel has no such sockets/ });
  }
});
