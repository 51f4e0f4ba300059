import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { writeFrame } from '../../../../src/devices/net/ports/write-frame.js';

t.test('a frame nobody takes is lost, and that is all', async (t) => {
  const fd = openSync('/dev/full', 'w');
  t.notOk(writeFrame(fd, new Uint8Array(60)));
  closeSync(fd);
  const sink = openSync('/dev/null', 'w');
  t.ok(writeFrame(sink, new Uint8Array(12), new Uint8Array(60)));
  closeSync(sink);
});
