// A front-end in a process of its own, to be stopped and killed: front-end-child.js SOCKET. Told to
// write it says 'posted' once its requests are in the ring, and 'served' once all have succeeded.

import { STATUS_OK, TestFrontend } from '../../src/testing/index.js';
import { drained, postWrites } from './posted-writes.js';

const REQUESTS = 32;

const socket = process.argv[2] as string;
const frontend = await TestFrontend.start({ socket, memoryBytes: 4 << 20 });
process.on('message', async () => {
  const posted = postWrites(frontend, REQUESTS);
  process.send?.('posted');
  const done = await drained(frontend);
  const { bytes } = frontend.memory;
  const fine = posted.every(({ statusOffset }) => bytes[statusOffset] === STATUS_OK);
  process.send?.(done && fine ? 'served' : 'not served');
});
process.send?.('ready');
