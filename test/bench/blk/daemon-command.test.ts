import t from 'tap';
import { daemonCommand, parseDaemonKind } from '../../../bench/blk/daemon-command.js';

const place = { socketPath: '/run/s.sock', imagePath: '/img/a,b.img' };
const setting = { cache: 'direct', queues: 4, pollUs: 50 } as const;

t.test('vhost-ts', async (t) => {
  const own = parseDaemonKind('vhost-ts', '/own/bin.js');
  const flags = ['--num-queues', '4', '--cache', 'none', '--poll-us', '50', '--aio', 'threads'];
  const { args } = daemonCommand(own, setting, { ...place, aio: 'threads' });
  t.same(args, [
    '/own/bin.js',
    'blk',
    '--socket',
    '/run/s.sock',
    '--image',
    '/img/a,b.img',
    ...flags,
  ]);
  const plain = daemonCommand(own, { cache: 'page', queues: 1, pollUs: 0 }, place).args;
  t.same(plain.slice(-4), ['--num-queues', '1', '--poll-us', '0'], 'no spin unless asked');
  const silent = daemonCommand(own, { cache: 'page', queues: 1 }, place).args;
  t.same(silent.slice(-2), ['--num-queues', '1'], 'the default is left to it');
  const other = parseDaemonKind('vhost-ts:/other/bin.js', '/own/bin.js');
  t.equal(daemonCommand(other, setting, place).args[0], '/other/bin.js');
});

t.test('qemu-storage-daemon', async (t) => {
  const { args } = daemonCommand(parseDaemonKind('qemu-storage-daemon', ''), setting, place);
  const text = args.join(' ');
  t.match(text, 'filename=/img/a,,b.img,aio=io_uring,cache.direct=on');
  t.match(text, 'driver=raw,node-name=disk,file=file');
  t.match(text, 'node-name=disk,writable=on,num-queues=4,iothread=io0');
  const bare = daemonCommand(parseDaemonKind('qemu-storage-daemon:file', ''), setting, place);
  t.notMatch(bare.args.join(' '), 'driver=raw');
  t.throws(() => parseDaemonKind('spdk', ''), RangeError);
});
