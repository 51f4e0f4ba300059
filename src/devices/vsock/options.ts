// What a user can say about a vsock device. The command line and a library user come through the
// same schema.

import * as z from 'zod';
import { GUEST_CID_MAX, GUEST_CID_MIN } from './format.js';

/** One packet of Linux's at least. */
const BUFFER_BYTES_MIN = 65_536;
/** 16 MiB; beyond it a single connection holds more than most daemons. */
const BUFFER_BYTES_MAX = 1 << 24;
/** What Linux gives a socket of its own. */
const BUFFER_BYTES_DEFAULT = 262_144;
/** A UNIX socket address holds 107 bytes; `_seqpacket` and `_4294967294` are 10 and 11. */
const PATH_BYTES_MAX = 96;

export const vsockOptionsSchema = z.strictObject({
  guestCid: z.int().min(GUEST_CID_MIN).max(GUEST_CID_MAX),
  udsPath: z
    .string()
    .min(1)
    .refine(
      (path) => Buffer.byteLength(path) <= PATH_BYTES_MAX,
      `is longer than ${PATH_BYTES_MAX} bytes, so that no port fits behind it`,
    )
    .optional(),
  bufferBytes: z.int().min(BUFFER_BYTES_MIN).max(BUFFER_BYTES_MAX).default(BUFFER_BYTES_DEFAULT),
});

export type VsockOptions = z.infer<typeof vsockOptionsSchema>;
