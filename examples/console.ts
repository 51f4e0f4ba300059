// A console that echoes (VIRTIO 1.3 §5.3): what the driver transmits comes back on the receive queue.
// Receive buffers are kept until there is something to put in.

import { defineDevice, isMain, serve } from '@vhost-ts/vhost-ts';

const RECEIVE = 0;
const TRANSMIT = 1;
/** Typed ahead without a buffer to answer in; what comes after is lost, as on a real line. */
const BACKLOG_BYTES_MAX = 65536;

export const echoConsole = defineDevice({
  module: import.meta.url,
  name: 'console',
  virtioId: 3,
  queues: 2,
  open: () => ({ backlog: Buffer.alloc(0) }),
  process(queue, chain, { kept, state }) {
    if (queue === RECEIVE) {
      chain.keep();
    } else if (queue === TRANSMIT) {
      const room = BACKLOG_BYTES_MAX - state.backlog.length;
      const typed = chain.reader.bytes(Math.min(chain.readableBytes, room));
      state.backlog = Buffer.concat([state.backlog, typed]);
    }
    for (let to = kept(RECEIVE); to !== undefined && state.backlog.length > 0; to = kept(RECEIVE)) {
      state.backlog = state.backlog.subarray(to.writer.writeSome(state.backlog));
      to.complete();
    }
  },
});

if (isMain(import.meta.url)) {
  await serve(echoConsole, { socket: process.argv[2] });
}
