// docs/reference/bad-inputs.md says which tests are named after which id; it is generated.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { badInputsTable, idsIn } from '../../scripts/bad-inputs.js';
import { ROOT } from './source-tree.js';

t.test('the table is what the tests say', async (t) => {
  const committed = readFileSync(join(ROOT, 'docs/reference/bad-inputs.md'), 'utf8');
  const how = 'renew it: node dist/scripts/bad-inputs.js > docs/reference/bad-inputs.md';
  t.equal(committed, badInputsTable(), how);
});

t.test('ids are found', async (t) => {
  t.same([...idsIn("t.test('CS-001, RG-002: x')")], ['CS-001', 'RG-002']);
  t.same([...idsIn('CS-008..010 and CS-027..030')].length, 3 + 2, 'gaps of a range are none');
  t.same([...idsIn('CS-999')], ['CS-999'], 'an unknown one is told of');
  t.same([...idsIn('XS-001, CS-1, QK-001')], []);
});
