// Paths for sockets of the host.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startCard } from '../../support/card.js';
import { temporaryDirectory } from '../../support/resources.js';
import { listen } from '../../support/stream-peer.js';

t.test('paths that can not be had', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const taken = join(directory, 'taken');
  await listen(t, taken);
  const long = join(directory, 'x'.repeat(108));
  const rows = [
    [{ streamListen: file }, /is in use/],
    [{ streamListen: taken }, /is in use/],
    [{ streamListen: long }, /longer than 107/],
    [{ streamListen: join(directory, 'no', 'where') }, /ENOENT/],
    [{ dgram: [file, taken] as [string, string] }, /is in use/],
  ] as const;
  for (const [options, message] of rows) {
    await t.rejects(startCard(t, options), { name: 'HostEndError', message }, String(message));
  }
});
