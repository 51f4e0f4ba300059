// What a user can say about a network card. The command line and a library user come through the
// same schema.

import * as z from 'zod';
import { MAC_BYTES } from './format.js';

/** VIRTIO 1.3 §2.7: a split ring has at most this many descriptors. */
const QUEUE_SIZE_MAX = 32768;
/** vhost-user has 256 queue indices: 127 pairs and the control queue. */
export const QUEUE_PAIRS_MAX = 127;
/** VIRTIO 1.3 §5.1.4.1. */
const MTU_MIN = 68;
const MTU_MAX = 65535;
/** A capture nobody remembers must not fill a disk. */
const PCAP_LIMIT_MIB = 1024;
/** Numbers of bytes stay exact. */
const PCAP_LIMIT_MIB_MAX = 2 ** 30;
/** Names of interfaces have 15 bytes (IFNAMSIZ with its NUL), no slash and no space. */
const TAP_NAME = /^[^\s/:]{1,15}$/;

const isPowerOfTwo = (value: number) => (value & (value - 1)) === 0;

/** '52:54:00:12:34:56'; undefined for what is no address of one station. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    return undefined;
  }
  const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
  return isStation(mac) ? mac : undefined;
}

/** Neither a group's address nor zero. */
export function isStation(mac: Uint8Array): boolean {
  const group = ((mac[0] as number) & 1) === 1;
  return mac.byteLength === MAC_BYTES && !group && mac.some((byte) => byte !== 0);
}

const path = z.string().min(1);

export const macSchema = z
  .string()
  .refine((text) => parseMac(text) !== undefined, 'is no address like 52:54:00:12:34:56');

export const netOptionsSchema = z
  .strictObject({
    null: z.boolean().default(false),
    tap: z.string().regex(TAP_NAME, 'is no name for an interface').optional(),
    /** The tap stays when the daemon has ended. */
    tapPersist: z.boolean().default(false),
    tapFds: z.array(z.int().min(0)).min(1).optional(),
    stream: path.optional(),
    streamListen: path.optional(),
    dgram: z.tuple([path, path]).optional(),
    mac: macSchema.optional(),
    mtu: z.int().min(MTU_MIN).max(MTU_MAX).optional(),
    queuePairs: z.int().min(1).max(QUEUE_PAIRS_MAX).default(1),
    queueSize: z
      .int()
      .min(2)
      .max(QUEUE_SIZE_MAX)
      .refine(isPowerOfTwo, 'must be a power of two')
      .default(1024),
    /** Threads wished for; `workersOf` says how many there is work for. */
    workers: z.int().min(1).default(1),
    pcap: path.optional(),
    pcapLimitMib: z.int().min(1).max(PCAP_LIMIT_MIB_MAX).default(PCAP_LIMIT_MIB),
    queueNum: z.enum(['queues', 'pairs']).default('queues'),
  })
  .superRefine((options, context) => {
    const { tap, tapFds, stream, streamListen, dgram, queuePairs } = options;
    const ends = [options.null || undefined, tap, tapFds, stream, streamListen, dgram];
    const issue = (name: string, message: string) =>
      context.addIssue({ code: 'custom', path: [name], message });
    if (ends.filter((end) => end !== undefined).length !== 1) {
      issue('tap', 'give one of --tap, --tap-fd, --stream, --stream-listen, --dgram, --null');
    }
    if (options.tapPersist && tap === undefined) {
      issue('tapPersist', 'goes with --tap NAME');
    }
    if (tapFds !== undefined && tapFds.length !== queuePairs) {
      issue('tapFds', `${tapFds.length} given for ${queuePairs} queue pairs`);
    }
  });

export type NetOptions = z.infer<typeof netOptionsSchema>;

/** A thread has a pair at least; what comes in on one input is one thread's. */
export function workersOf({ tap, tapFds, queuePairs, workers, ...ends }: NetOptions): number {
  const oneInput = tap === undefined && tapFds === undefined && !ends.null;
  return oneInput ? 1 : Math.min(workers, queuePairs);
}
