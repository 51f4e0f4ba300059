// What a user can say about a vsock device. The command line and a library user come through the
// same schema.

import * as z from 'zod';
import { GUEST_CID_MAX, GUEST_CID_MIN, PORT_ANY } from './format.js';
import { isAddress } from './tcp-target.js';

/** One packet of Linux's at least. */
const BUFFER_BYTES_MIN = 65_536;
/** 16 MiB; beyond it a single connection holds more than most daemons. */
const BUFFER_BYTES_MAX = 1 << 24;
/** What Linux gives a socket of its own. */
const BUFFER_BYTES_DEFAULT = 262_144;
/** A UNIX socket address holds 107 bytes; `_seqpacket` and `_4294967294` are 10 and 11. */
const PATH_BYTES_MAX = 96;

/** Of any other socket. */
const SOCKET_PATH_BYTES_MAX = 107;
/** Each has a place of its own in the worker; people have a handful. */
const ENDS_MAX = 256;

const portSchema = z
  .int()
  .min(0)
  .max(PORT_ANY - 1);
const tcpPortSchema = z.int().min(1).max(65_535);
const socketPathSchema = z
  .string()
  .min(1)
  .refine(
    (path) => Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX,
    `the path is longer than ${SOCKET_PATH_BYTES_MAX} bytes`,
  );
/** Of a machine, or IPv4 or IPv6 in figures; never what a program takes for a flag. */
const hostSchema = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9_:][A-Za-z0-9_.:%-]*$/, 'this is no name and no address of a host');

/** What a port of the host's leads to. */
const targetSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unix'), path: socketPathSchema }),
  z.strictObject({ kind: z.literal('tcp'), host: hostSchema, port: tcpPortSchema }),
  z.strictObject({ kind: z.literal('exec'), command: z.string().regex(/^[^\0]*[^\s\0][^\0]*$/) }),
]);
export type ForwardTarget = z.infer<typeof targetSchema>;

const forwardSchema = z.strictObject({ port: portSchema, to: targetSchema });

/** Where host programs connect to. */
const listenAddressSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unix'), path: socketPathSchema }),
  z.strictObject({
    kind: z.literal('tcp'),
    host: hostSchema.refine(isAddress, 'give an address in figures, not a name'),
    port: tcpPortSchema,
  }),
]);
export type ListenAddress = z.infer<typeof listenAddressSchema>;

const listenSchema = z.strictObject({ at: listenAddressSchema, guestPort: portSchema });

function distinct(ports: readonly number[]): boolean {
  return new Set(ports).size === ports.length;
}

export const vsockOptionsSchema = z
  .strictObject({
    guestCid: z.int().min(GUEST_CID_MIN).max(GUEST_CID_MAX),
    udsPath: z
      .string()
      .min(1)
      .refine(
        (path) => Buffer.byteLength(path) <= PATH_BYTES_MAX,
        `is longer than ${PATH_BYTES_MAX} bytes, so that no port fits behind it`,
      )
      .optional(),
    forwards: z
      .array(forwardSchema)
      .max(ENDS_MAX)
      .refine((all) => distinct(all.map(({ port }) => port)), 'a port is given twice')
      .default([]),
    listens: z.array(listenSchema).max(ENDS_MAX).default([]),
    /** All other ports lead to the same of this CID, through the host's own AF_VSOCK. */
    parentCid: z.int().min(1).max(GUEST_CID_MAX).optional(),
    /** Ports of the host's AF_VSOCK that lead to the same of the guest's. */
    parentPorts: z
      .array(portSchema)
      .max(ENDS_MAX)
      .refine(distinct, 'a port is given twice')
      .default([]),
    bufferBytes: z.int().min(BUFFER_BYTES_MIN).max(BUFFER_BYTES_MAX).default(BUFFER_BYTES_DEFAULT),
  })
  .refine(({ udsPath, parentCid }) => udsPath === undefined || parentCid === undefined, {
    path: ['parentCid'],
    message: 'and --uds-path want the same ports',
  });

export type VsockOptions = z.infer<typeof vsockOptionsSchema>;
