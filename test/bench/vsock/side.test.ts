import t from 'tap';
import { allCases, type BenchCase } from '../../../bench/vsock/cases.js';
import { commandOf, loadArguments } from '../../../bench/vsock/side.js';

const place = { socket: '/d/s', path: '/d/p', listenPath: '/d/l' };
const environment = {
  directory: '/d',
  loadBinary: '/load',
  vhostTs: '/bin.js',
  seconds: 1,
  pins: { load: 0, daemon: 1 },
};

t.test('what runs in between', async (t) => {
  const words = (side: Parameters<typeof commandOf>[0], streams = 1) => {
    const line = commandOf(side, place, '/bin.js', streams);
    return line === undefined ? undefined : [line.command, ...line.args].join(' ');
  };
  t.equal(words('pair'), undefined);
  t.match(words('vsock'), /bin.js vsock --socket \/d\/s --uds-path \/d\/p --guest-cid 42/);
  t.equal(words('socat'), 'socat UNIX-LISTEN:/d/p,backlog=128 UNIX-CONNECT:/d/l');
  t.match(words('socat-64k', 64), 'socat -b 65536 UNIX-LISTEN:/d/p,backlog=128,fork');
});

t.test('the load is the same for every side', async (t) => {
  const [first] = allCases() as [BenchCase];
  const args = (side: 'vsock' | 'pair' | 'socat', pid?: number) =>
    loadArguments(first, side, place, environment, pid).join(' ');
  const same = '--work bulk --streams 1 --direction guest-to-host';
  t.match(args('vsock', 7), `--peer vsock ${same}`);
  t.match(args('vsock', 7), '--pin 0 --far-pin 1 --daemon-pid 7');
  t.match(args('socat'), `--peer relay ${same}`);
  t.notMatch(args('pair'), 'daemon-pid');
});
