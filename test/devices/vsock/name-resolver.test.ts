import t from 'tap';
import { NameResolver, parseAddresses } from '../../../src/devices/vsock/name-resolver.js';

t.test('what getent says, an address once', async (t) => {
  const text = [
    '::1             STREAM localhost',
    '::1             DGRAM  ',
    '127.0.0.1       STREAM ',
    '127.0.0.1       STREAM ',
    '10.0.0.1        RAW    ',
    '',
  ].join('\n');
  t.same(parseAddresses(text), ['::1', '127.0.0.1']);
  t.same(parseAddresses(''), []);
});

t.test('names are asked for once each, and told when they are new', async (t) => {
  const answers: Record<string, readonly string[]> = {
    a: ['1.1.1.1'],
    b: ['1', '2', '3', '4', '5'],
  };
  const asked: string[] = [];
  const told: unknown[] = [];
  const resolver = new NameResolver(
    ['a', 'b', 'a', 'c'],
    (name, addresses) => told.push([name, addresses]),
    async (name) => {
      asked.push(name);
      const found = answers[name];
      if (found === undefined) {
        throw new Error('not found');
      }
      return found;
    },
  );
  await resolver.start();
  t.same(asked, ['a', 'b', 'c']);
  t.same(told, [
    ['a', ['1.1.1.1']],
    ['b', ['1', '2', '3', '4']],
  ]);
  answers.a = [];
  answers.c = ['3.3.3.3'];
  await resolver.start();
  t.same(told.slice(2), [['c', ['3.3.3.3']]], 'what is lost is not taken back');
  resolver.close();
});

t.test('a resolver that does not answer is ended', async (t) => {
  let signalled = false;
  const resolver = new NameResolver(
    ['slow'],
    () => t.fail('too late'),
    (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          signalled = true;
          resolve(['1.1.1.1']);
        });
      }),
  );
  const started = resolver.start();
  resolver.close();
  await started;
  t.ok(signalled);
});

t.test("the system's own answer", async (t) => {
  const told: string[] = [];
  const resolver = new NameResolver(['localhost'], (_, addresses) => told.push(...addresses));
  await resolver.start();
  resolver.close();
  t.ok(told.includes('127.0.0.1') || told.includes('::1'), told.join());
});
