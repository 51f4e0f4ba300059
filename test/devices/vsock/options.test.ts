import t from 'tap';
import { vsockOptionsSchema } from '../../../src/devices/vsock/options.js';

t.test('defaults', async (t) => {
  t.same(vsockOptionsSchema.parse({ guestCid: 3 }), {
    guestCid: 3,
    forwards: [],
    listens: [],
    parentPorts: [],
    bufferBytes: 262_144,
  });
});

t.test('limits', async (t) => {
  for (const options of [
    { guestCid: 2 },
    { guestCid: 0xffff_ffff },
    { guestCid: 3.5 },
    { guestCid: 3, udsPath: '' },
    { guestCid: 3, udsPath: 'é'.repeat(49) },
    { guestCid: 3, bufferBytes: 65_535 },
    { guestCid: 3, bufferBytes: (1 << 24) + 1 },
    { guestCid: 3, other: 1 },
    { guestCid: 3, udsPath: 'x', parentCid: 1 },
    { guestCid: 3, parentCid: 0 },
    { guestCid: 3, parentPorts: [1, 2, 1] },
    { guestCid: 3, parentPorts: [0xffff_ffff] },
    ...[
      { kind: 'unix', path: '' },
      { kind: 'unix', path: 'x'.repeat(108) },
      { kind: 'tcp', host: '-f', port: 1 },
      { kind: 'tcp', host: 'a b', port: 1 },
      { kind: 'tcp', host: '', port: 1 },
      { kind: 'tcp', host: 'a', port: 0 },
      { kind: 'tcp', host: 'a', port: 65_536 },
      { kind: 'exec', command: ' ' },
      { kind: 'exec', command: 'a\0b' },
    ].map((to) => ({ guestCid: 3, forwards: [{ port: 1, to }] })),
    { guestCid: 3, listens: [{ at: { kind: 'tcp', host: 'name', port: 1 }, guestPort: 1 }] },
    { guestCid: 3, listens: [{ at: { kind: 'unix', path: 'x' }, guestPort: 0xffff_ffff }] },
  ]) {
    t.notOk(vsockOptionsSchema.safeParse(options).success, JSON.stringify(options));
  }
  t.ok(vsockOptionsSchema.safeParse({ guestCid: 0xffff_fffe, udsPath: 'x'.repeat(96) }).success);
});

t.test('a port leads to one place', async (t) => {
  const forward = (port: number) => ({ port, to: { kind: 'exec', command: 'cat' } });
  const parse = (...ports: number[]) =>
    vsockOptionsSchema.safeParse({ guestCid: 3, forwards: ports.map(forward) }).success;
  t.ok(parse(1, 2, 0, 0xffff_fffe));
  t.notOk(parse(1, 2, 1));
});
