import t from 'tap';
import { loadFlags, runLoadProgram } from '../../../bench/common/load-program.js';

t.test('flags, without those that have no value', async (t) => {
  t.same(loadFlags({ depth: 8, mode: 'event', pin: undefined }), [
    '--depth',
    '8',
    '--mode',
    'event',
  ]);
});

t.test('what a load generator prints, or why it failed', async (t) => {
  t.same(await runLoadProgram('case', 'sh', ['-c', 'echo \'{"iops":1}\'']), { iops: 1 });
  await t.rejects(runLoadProgram('case', 'sh', ['-c', 'echo wrong >&2; exit 1']), {
    message: 'case: wrong',
  });
  await t.rejects(runLoadProgram('case', 'sh', ['-c', 'exit 3']), { message: 'case: exit 3' });
});
