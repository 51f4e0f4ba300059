import t from 'tap';
import { greetingAnswer, parseGreeting } from '../../../src/devices/vsock/greeting.js';

const rows: readonly (readonly [string, string, number?, number?])[] = [
  ['CONNECT 80\n', 'connect', 80, 11],
  ['connect 80\nGET', 'connect', 80, 11],
  ['CONNECT 80\r\n', 'connect', 80, 12],
  ['CONNECT 0\n', 'connect', 0, 10],
  ['CONNECT 4294967294\n', 'connect', 4_294_967_294, 19],
  ['', 'more'],
  ['CONNECT 8', 'more'],
  // VS-033
  ['CONNECT 4294967295\n', 'bad'],
  ['CONNECT 99999999999\n', 'bad'],
  ['CONNECT -1\n', 'bad'],
  ['CONNECT \n', 'bad'],
  ['CONNECT 1\0\n', 'bad'],
  ['CONNECT 1 1\n', 'bad'],
  [' CONNECT 1\n', 'bad'],
  ['\n', 'bad'],
  ['x'.repeat(32), 'bad'],
  [`CONNECT ${'0'.repeat(40)}\n`, 'bad'],
];

t.test('lines', async (t) => {
  for (const [line, kind, port, lengthBytes] of rows) {
    const expected = port === undefined ? { kind } : { kind, port, lengthBytes };
    t.same(parseGreeting(Buffer.from(line, 'latin1')), expected, JSON.stringify(line));
  }
});

t.test('the answer', async (t) => {
  t.equal(Buffer.from(greetingAnswer(1_073_741_824)).toString(), 'OK 1073741824\n');
});
