// docs/reference/protocol.md says what the tables, handlers and tests say.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { protocolReference, REFERENCE_PATH } from '../../scripts/protocol-reference.js';
import { BACKEND_REQUESTS, FRONTEND_REQUESTS } from '../../src/core/protocol/index.js';

t.test('the file is up to date: node dist/scripts/protocol-reference.js', async (t) => {
  t.equal(readFileSync(REFERENCE_PATH, 'utf8'), protocolReference());
});

t.test('every message has a row, and every one that is handled a test', async (t) => {
  const rows = protocolReference()
    .split('\n')
    .filter((line) => /^\| \d/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const names = [...FRONTEND_REQUESTS, ...BACKEND_REQUESTS].map(({ name }) => `\`${name}\``);
  t.same(
    rows.map(([, , name]) => name),
    names,
  );
  const untested = rows.filter(([, , , , , , place, test]) => place !== 'refused' && test === '-');
  t.same(
    untested.map(([, , name]) => name),
    [],
  );
});
