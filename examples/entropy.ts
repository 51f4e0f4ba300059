// An entropy device (VIRTIO 1.3 §5.4): whatever the driver offers is filled with random bytes.
//
//     vhost-ts run dist/examples/entropy.js --socket /tmp/rng.sock
//     node dist/examples/entropy.js /tmp/rng.sock

import { randomBytes } from 'node:crypto';
import { defineDevice, isMain, serve } from '@vhost-ts/vhost-ts';
import * as z from 'zod';

export const entropy = defineDevice({
  module: import.meta.url,
  name: 'entropy',
  virtioId: 4,
  queues: 1,
  options: z.strictObject({
    /** Bytes for one request at most: a driver may offer gigabytes. */
    bytesMax: z.int().min(1).max(65536).default(4096),
  }),
  process(_queue, chain, { options }) {
    chain.writer.write(randomBytes(Math.min(chain.writableBytes, options.bytesMax)));
  },
});

if (isMain(import.meta.url)) {
  await serve(entropy, { socket: process.argv[2] });
}
