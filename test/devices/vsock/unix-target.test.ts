import { join } from 'node:path';
import t from 'tap';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { UnixTarget } from '../../../src/devices/vsock/unix-target.js';
import { check, native } from '../../../src/native/index.js';
import { MESSAGE_REQUEST, STREAM_REQUEST } from '../../support/polled-connections.js';
import { temporaryDirectory } from '../../support/resources.js';

t.test('VS-031 whoever listens, if of the right type', async (t) => {
  const path = join(temporaryDirectory(t), 'l');
  const target = new UnixTarget(path);
  const answers: (HostLink | undefined)[] = [];
  const ask = (request = STREAM_REQUEST) => target.connect(request, (link) => answers.push(link));
  ask();
  const listener = check('listen', native.hostListen(path, 1, 8));
  ask(MESSAGE_REQUEST);
  t.same(answers, [undefined, undefined]);
  ask();
  native.fdClose((answers[2] as HostLink).fd);
  native.fdClose(listener);
  target.close();
});
