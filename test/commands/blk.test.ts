// What `vhost-ts blk` says to every wrong or informing command line: one line, one exit code.

import { spawnSync } from 'node:child_process';
import t from 'tap';
import { capabilitiesJson } from '../../src/cli/capabilities.js';
import { imageFile, run, temporaryDirectory } from '../cli/command.js';

const directory = temporaryDirectory();
const socket = `${directory}/s`;
const image = imageFile(directory, 'image', 1 << 20);
const GOOD = ['--socket', socket, '--image', image];

/** Title, words after `vhost-ts blk`, what the one line must say. */
const USAGE: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['nothing', [], /give either --socket PATH or --fd N/],
  ['no image', ['--socket', socket], /give --image PATH/],
  ['socket and fd', [...GOOD, '--fd', '3'], /either --socket PATH or --fd N/],
  ['an empty image', ['--socket', socket, '--image='], /--image/],
  ['an empty socket', ['--socket=', '--image', image], /--socket/],
  ['no value', ['--socket'], /--socket expects a value/],
  ['socket twice', [...GOOD, '--socket-path', 'x'], /--socket can only be specified once/],
  ['an unknown flag', [...GOOD, '--imgae', 'x'], /Nonexistent flag.*--imgae/],
  ['an argument', [...GOOD, 'extra'], /Unexpected argument: extra/],
  ['an argument of two lines', [...GOOD, 'a\nb\u001b[1m'], /Unexpected argument: a/],
  ['no number', [...GOOD, '--num-queues', 'two'], /--num-queues: Expected an integer/],
  ['no queue', [...GOOD, '--num-queues', '0'], /--num-queues.*1/],
  ['too many queues', [...GOOD, '--num-queues', '129'], /--num-queues.*128/],
  ['queue size 100', [...GOOD, '--queue-size', '100'], /--queue-size.*power of two/],
  ['queue size 1', [...GOOD, '--queue-size', '1'], /--queue-size/],
  ['queue size 65536', [...GOOD, '--queue-size', '65536'], /--queue-size.*32768/],
  ['no worker', [...GOOD, '--workers', '0'], /--workers/],
  ['65 workers', [...GOOD, '--workers', '65'], /--workers.*64/],
  ['a long serial', [...GOOD, '--serial', 'é'.repeat(11)], /--serial: is longer than 20 bytes/],
  ['block size', [...GOOD, '--block-size', '100'], /--block-size.*512, 1024, 2048, 4096/],
  ['cache mode', [...GOOD, '--cache', 'unsafe'], /--cache.*writeback, writethrough, none/],
  ['aio', [...GOOD, '--aio', 'native'], /--aio.*io_uring, threads/],
  ['poll', [...GOOD, '--poll-us', '1001'], /--poll-us.*1000/],
  ['size', [...GOOD, '--create', '10X'], /--create 10X: not a size/],
  ['size without number', [...GOOD, '--create', 'G'], /--create G: not a size/],
  ['size below a sector', [...GOOD, '--create', '511'], /--create.*512/],
  ['log level', [...GOOD, '--log-level', 'loud'], /--log-level=loud.*error, warn, info, debug/],
  ['log format', [...GOOD, '--log-format', 'xml'], /--log-format=xml.*auto, json, text, journal/],
  ['negative fd', ['--fd', '-1', '--image', image], /--fd/],
  ['client and fd', ['--fd', '3', '--client', '--image', image], /--client needs --socket PATH/],
  ['QEMU flags of an fd', ['--fd', '3', '--print-qemu-args'], /--print-qemu-args needs --socket/],
];

for (const [title, words, says] of USAGE) {
  t.test(`usage: ${title}`, async (t) => {
    const { code, stdout, stderr } = await run(['blk', ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts blk: [^\n]+\n$/, 'one line');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not occur
    t.notMatch(stderr, /[\u0000-\u0009\u000b-\u001f]/, 'without control characters');
    t.equal(stdout, '');
    t.equal(code, 2);
  });
}

t.test('a usage error is JSON where JSON was asked for', async (t) => {
  for (const format of [['--log-format', 'json'], ['--log-format=json']]) {
    const { code, stderr } = await run(['blk', ...format, '--nonsense']);
    t.match(JSON.parse(stderr), { level: 50, name: 'blk', exitCode: 2, msg: /--nonsense/ });
    t.equal(code, 2);
  }
});

t.test('--print-capabilities ignores every other flag', async (t) => {
  for (const words of [[], ['--nonsense'], ['--socket'], ['extra', '--num-queues=x'], ['--help']]) {
    const { code, stdout, stderr } = await run(['blk', ...words, '--print-capabilities']);
    t.equal(stdout, `${capabilitiesJson('blk')}\n`, words.join(' '));
    t.equal(stderr, '');
    t.equal(code, 0);
  }
});

t.test('--print-qemu-args is what a shell takes for QEMU flags', async (t) => {
  const odd = `${directory}/o'd, d`;
  const words = ['blk', '--socket', odd, '--num-queues', '4', '--print-qemu-args'];
  const { code, stdout, stderr } = await run(words);
  t.equal(code, 0);
  t.equal(stderr, '');
  const shell = spawnSync('sh', ['-c', `printf '%s\\n' ${stdout}`], { encoding: 'utf8' });
  t.strictSame(shell.stdout.trimEnd().split('\n'), [
    '-object',
    'memory-backend-memfd,id=mem0,size=1G,share=on',
    '-numa',
    'node,memdev=mem0',
    '-chardev',
    `socket,id=vhost0,path=${odd.replace(',', ',,')}`,
    '-device',
    'vhost-user-blk-pci,chardev=vhost0,num-queues=4',
  ]);
});

t.test('--help names every flag', async (t) => {
  for (const flag of ['--help', '-h']) {
    const { code, stdout, stderr } = await run(['blk', flag]);
    t.match(stdout, /--socket.*--create.*--print-qemu-args/s);
    t.equal(stderr, '');
    t.equal(code, 0);
  }
});
