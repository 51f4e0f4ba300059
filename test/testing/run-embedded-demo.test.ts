import { closeSync, openSync, writeSync } from 'node:fs';
import t from 'tap';
import { runEmbeddedDemo } from '../../src/testing/index.js';
import { startDisk } from '../support/disk.js';

t.test('the main job succeeds, and notices when the disk forgets', async (t) => {
  const disk = await startDisk(t);
  const lines: string[] = [];
  t.ok(await runEmbeddedDemo((line) => lines.push(line), disk), lines.join('\n'));
  t.match(lines.join('\n'), /serial number: vhost-ts[\s\S]*still there/);
  const forgetful = await startDisk(t);
  const print = (line: string) => {
    if (line.startsWith('discarded')) {
      const fd = openSync(forgetful.image, 'r+');
      writeSync(fd, new Uint8Array(4096), 0, 4096, 128 << 10);
      closeSync(fd);
    }
  };
  t.notOk(await runEmbeddedDemo(print, forgetful));
});
