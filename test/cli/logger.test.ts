// The three forms of a log line, as functions and as the daemon writes them.

import t from 'tap';
import { journalLine, textLine } from '../../src/cli/logger.js';
import { imageFile, startListening, temporaryDirectory } from './command.js';

/** pino's number, the text line, journald's priority. */
const LEVELS: readonly (readonly [number, string, number])[] = [
  [50, 'vhost-ts blk: error: went wrong (queue=0, why="x")\n', 3],
  [40, 'vhost-ts blk: warn: went wrong (queue=0, why="x")\n', 4],
  [30, 'vhost-ts blk: went wrong (queue=0, why="x")\n', 6],
  [20, 'vhost-ts blk: debug: went wrong (queue=0, why="x")\n', 7],
];

for (const [level, text, priority] of LEVELS) {
  const record = { level, name: 'blk', time: 1, pid: 2, queue: 0, why: '"x"', msg: 'went wrong' };
  t.equal(textLine(record), text);
  t.equal(journalLine(record), `<${priority}>${text}`);
}

t.equal(textLine({ level: 30, name: 'blk', msg: 'bare' }), 'vhost-ts blk: bare\n');

const directory = temporaryDirectory();
const socket = `${directory}/s`;
const image = imageFile(directory, 'image', 1 << 20);

async function logOf(words: readonly string[]): Promise<string> {
  const { child, outcome } = await startListening([
    ...['blk', '--socket', socket, '--image', image],
    ...words,
  ]);
  child.kill('SIGTERM');
  return (await outcome).stderr;
}

const listening = `vhost-ts blk: listening (socket=${socket})\n`;

t.test('text', async (t) => {
  t.ok((await logOf(['--log-format', 'text'])).startsWith(listening));
});

t.test('journal', async (t) => {
  t.ok((await logOf(['--log-format', 'journal'])).startsWith(`<6>${listening}`));
});

for (const words of [['--log-format', 'json'], []]) {
  t.test(`JSON where stderr is no terminal: ${words.join(' ')}`, async (t) => {
    const lines = (await logOf(words)).trimEnd().split('\n');
    const records = lines.map((line) => JSON.parse(line));
    t.match(records[0], { level: 30, name: 'blk', msg: 'listening', socket });
    const stopping = records.find(({ msg }) => msg === 'stopping');
    t.match(stopping, { level: 30, signal: 'SIGTERM' });
  });
}
