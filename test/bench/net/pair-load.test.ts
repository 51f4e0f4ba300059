import t from 'tap';
import { pairCases } from '../../../bench/net/cases.js';
import { pairArguments } from '../../../bench/net/pair-load.js';

t.test('every case becomes load between the two sockets', async (t) => {
  const backEnd = { sockets: ['/a', '/b'], pid: 42 };
  const settings = { seconds: 1, warmupSeconds: 0.2, cpu: 0 };
  const texts = pairCases().map((of) => pairArguments(of, backEnd, settings).join(' '));
  for (const text of texts) {
    t.match(text, '--from /a --to /b --frame-bytes ');
    t.match(text, '--seconds 1 --warmup 0.2 --pin 0 --daemon-pid 42');
  }
  t.same(
    texts.map((text) => /--rate (\d+)/.exec(text)?.[1]),
    [undefined, undefined, '10000'],
  );
});
