import t from 'tap';
import { z } from 'zod';
import { flagIssues, given } from '../../src/cli/option-issues.js';

const schema = z.object({
  queuePairs: z.number().max(4, 'four at most'),
  bufferBytes: z.number().min(1, 'one at least'),
});

const ISSUES: readonly (readonly [string, object, Record<string, string>, string])[] = [
  ['kebab case', { queuePairs: 5, bufferBytes: 1 }, {}, '--queue-pairs: four at most'],
  [
    'another name',
    { queuePairs: 1, bufferBytes: 0 },
    { bufferBytes: 'tx-buffer-size' },
    '--tx-buffer-size: one at least',
  ],
  [
    'several',
    { queuePairs: 5, bufferBytes: 0 },
    {},
    '--queue-pairs: four at most; --buffer-bytes: one at least',
  ],
];

for (const [title, options, names, said] of ISSUES) {
  t.test(title, async (t) => {
    const parsed = schema.safeParse(options);
    t.equal(parsed.success ? '' : flagIssues(parsed.error, names), said);
  });
}

t.test('what is not given is left to the defaults', async (t) => {
  t.same(given({ a: undefined, b: false, c: 0, d: '' }), { b: false, c: 0, d: '' });
});
