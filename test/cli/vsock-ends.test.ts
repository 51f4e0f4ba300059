import t from 'tap';
import { parseForward, parseGuest, parseListen, parsePorts } from '../../src/cli/vsock-ends.js';

t.test('--forward', async (t) => {
  t.same(parseForward('80=unix:/run/a=b:c'), {
    cid: undefined,
    port: 80,
    to: { kind: 'unix', path: '/run/a=b:c' },
  });
  t.same(parseForward('3:22=tcp:db.test:5432'), {
    cid: 3,
    port: 22,
    to: { kind: 'tcp', host: 'db.test', port: 5432 },
  });
  t.same(parseForward('22=tcp:[::1]:22').to, { kind: 'tcp', host: '::1', port: 22 });
  t.same(parseForward('7=exec:sh -c "a=1\nb"').to, { kind: 'exec', command: 'sh -c "a=1\nb"' });
  for (const text of [
    '',
    '80',
    '80=',
    '80=/run/a',
    'x=unix:a',
    '-1=unix:a',
    ':1=unix:a',
    '3:=unix:a',
    '3:4:5=unix:a',
    '80=tcp:a',
    '80=tcp:::1:2',
    '80=udp:a:1',
  ]) {
    t.throws(() => parseForward(text), {
      reason: 'usage',
      message: /^--forward ".*": give \[CID:\]PORT=/,
    });
  }
});

t.test('--listen', async (t) => {
  t.same(parseListen('unix:/a=b=80'), {
    cid: undefined,
    at: { kind: 'unix', path: '/a=b' },
    guestPort: 80,
  });
  t.match(parseListen('unix:/a=3:4=5:6'), { cid: 5, at: { path: '/a=3:4' }, guestPort: 6 });
  t.same(parseListen('tcp:localhost:8080=3:80'), {
    cid: 3,
    at: { kind: 'tcp', host: '127.0.0.1', port: 8080 },
    guestPort: 80,
  });
  for (const text of [
    'unix:/a',
    'tcp:1.2.3.4=80',
    'exec:cat=80',
    'tcp:1.2.3.4:5=x',
    'tcp:1.2.3.4:5=:6',
    '80=unix:/a',
  ]) {
    t.throws(() => parseListen(text), {
      reason: 'usage',
      message: /^--listen ".*": give unix:PATH/,
    });
  }
});

t.test('--forward-listen', async (t) => {
  t.same(parsePorts('9001+3:9002'), [
    { cid: undefined, port: 9001 },
    { cid: 3, port: 9002 },
  ]);
  t.same(parsePorts('1'), [{ cid: undefined, port: 1 }]);
  for (const text of ['', '+', '1+', '1,2', '-1', ':1', '3:']) {
    t.throws(() => parsePorts(text), { message: /^--forward-listen ".*": give \[CID:\]PORT/ });
  }
});

t.test('--guest', async (t) => {
  t.same(parseGuest('/run/a,b.sock,cid=3,group=x+y,uds-path=/run/u,v'), {
    socket: '/run/a,b.sock',
    cid: 3,
    groups: ['x', 'y'],
    udsPath: '/run/u,v',
  });
  t.same(parseGuest('s,cid=3'), { socket: 's', cid: 3, groups: [], udsPath: undefined });
  for (const text of [
    '',
    's',
    ',cid=3',
    's,cid=x',
    's,cid=',
    's,cid=3,cid=4',
    's,cid=3,group=a++b',
    's,cid=3,uds-path=',
  ]) {
    t.throws(() => parseGuest(text), { message: /^--guest ".*": give SOCKET,cid=N/ }, text);
  }
});
