import t from 'tap';
import { qemuArgs, qemuArgsText } from '../../src/cli/qemu-args.js';

const DEVICE = { device: 'vhost-user-blk-pci', properties: { 'num-queues': 2, bootindex: 1 } };

t.test('a comma in a path is doubled, for QEMU ends an option at one', async (t) => {
  t.ok(qemuArgs({ ...DEVICE, socket: '/a,b' }).includes('socket,id=vhost0,path=/a,,b'));
});

t.test('QEMU listens where we connect', async (t) => {
  const args = qemuArgs({ ...DEVICE, socket: '/s', client: true });
  t.ok(args.includes('socket,id=vhost0,path=/s,server=on'));
});

t.test('the memory is shared and belongs to the machine', async (t) => {
  const args = qemuArgs({ ...DEVICE, socket: '/s' }).join(' ');
  t.match(args, /memory-backend-memfd,id=mem0,size=1G,share=on -numa node,memdev=mem0/);
});

t.test('one pair a line, quoted only where a shell asks for it', async (t) => {
  t.equal(
    qemuArgsText({ ...DEVICE, socket: "/it's" }),
    [
      '  -object memory-backend-memfd,id=mem0,size=1G,share=on \\',
      '  -numa node,memdev=mem0 \\',
      "  -chardev 'socket,id=vhost0,path=/it'\\''s' \\",
      '  -device vhost-user-blk-pci,chardev=vhost0,num-queues=2,bootindex=1\n',
    ].join('\n'),
  );
});
