// The words before a command, and the commands that are none.

import t from 'tap';
import { ROOT, run } from './command.js';

for (const words of [[], ['--help'], ['-h']]) {
  t.test(`help: vhost-ts ${words.join(' ')}`, async (t) => {
    const { code, stdout, stderr } = await run(words);
    t.match(stdout, /COMMANDS\n {2}blk /);
    t.equal(stderr, '');
    t.equal(code, 0);
  });
}

for (const words of [['--version'], ['-V'], ['blk', '--version'], ['blk', '-V']]) {
  t.test(`version: vhost-ts ${words.join(' ')}`, async (t) => {
    const { code, stdout } = await run(words);
    t.match(stdout, /^@vhost-ts\/vhost-ts\/\d+\.\d+\.\d+ .*\n$/);
    t.equal(code, 0);
  });
}

const REFUSED: readonly (readonly [string, string])[] = [
  ['nonsense', 'unknown command: nonsense; known: blk, net, run, vsock'],
  ['bkl', 'unknown command: bkl; did you mean blk?'],
  ['toString', 'unknown command: toString; known: blk, net, run, vsock'],
  ['a\nb', 'unknown command: a\\nb; known: blk, net, run, vsock'],
  ['--socket', 'flag before the command: --socket; known: blk, net, run, vsock'],
];

for (const [word, says] of REFUSED) {
  t.test(`refused: ${JSON.stringify(word)}`, async (t) => {
    const { code, stdout, stderr } = await run([word, '--help']);
    t.equal(stderr, `vhost-ts: ${says}\n`);
    t.equal(stdout, '');
    t.equal(code, 2);
  });
}

t.test('starts from any directory', async (t) => {
  t.not(process.cwd(), '/');
  const { code, stdout } = await run(['blk', '--help'], { cwd: '/' });
  t.match(stdout, /USAGE/, ROOT);
  t.equal(code, 0);
});
