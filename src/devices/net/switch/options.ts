// What a user can say about a switch. The command line and a library user come through the same
// schema.

import * as z from 'zod';
import { macSchema, type NetOptions, netOptionsSchema, parseMac } from '../options.js';
import { VLAN_MAX } from './port-vlans.js';

/** Three queues a port, 256 in a worker. */
export const PORTS_MAX = 85;
/** A switch needs somebody to switch to. */
const PORTS_MIN = 2;
/** As Linux's bridge: five minutes. */
const AGE_S = 300;
const AGE_S_MAX = 1_000_000;
/** Ten times what ARP of a few hundred guests makes. */
const STORM_PER_SECOND = 10_000;
const STORM_PER_SECOND_MAX = 1_000_000_000;
const QUEUE_SIZE_MAX = 32768;
const MTU_MIN = 68;
const MTU_MAX = 65535;

/** `tap:NAME`, `stream:PATH` or `stream-listen:PATH` as options of a host's end; undefined: none of
 *  them. */
export function parseUplink(text: string): NetOptions | undefined {
  const [, kind, name] = /^(tap|stream|stream-listen):(.+)$/s.exec(text) ?? [];
  const key = kind === 'stream-listen' ? 'streamListen' : kind;
  return key === undefined ? undefined : netOptionsSchema.safeParse({ [key]: name }).data;
}
const UPLINK_SENTENCE = 'is none of tap:NAME, stream:PATH, stream-listen:PATH';

const vlan = z.int().min(1).max(VLAN_MAX);
const isPowerOfTwo = (value: number) => (value & (value - 1)) === 0;

const portSchema = z.strictObject({
  vlans: z
    .union([
      z.strictObject({ kind: z.literal('any') }),
      z.strictObject({ kind: z.literal('access'), vlan }),
      z.strictObject({
        kind: z.literal('trunk'),
        vlans: z.array(vlan).min(1),
        native: vlan.optional(),
      }),
    ])
    .default({ kind: 'any' }),
  isolated: z.boolean().default(false),
  mac: macSchema.optional(),
});

export const switchOptionsSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,32}$/, 'is no name: letters, digits, "_", "." and "-"'),
  /** One for each guest. */
  ports: z
    .array(portSchema.extend({ label: z.string() }))
    .min(PORTS_MIN, 'needs two sockets at least')
    .max(PORTS_MAX, `has room for ${PORTS_MAX} sockets`),
  ageS: z.int().min(1).max(AGE_S_MAX).default(AGE_S),
  /** Frames to groups from one port; 0: no limit. */
  stormPerSecond: z.int().min(0).max(STORM_PER_SECOND_MAX).default(STORM_PER_SECOND),
  offload: z.boolean().default(true),
  mtu: z.int().min(MTU_MIN).max(MTU_MAX).optional(),
  /** The way out: a tap's name, or the path of a stream. */
  uplink: z
    .string()
    .refine((text) => parseUplink(text) !== undefined, UPLINK_SENTENCE)
    .optional(),
  queueSize: z
    .int()
    .min(2)
    .max(QUEUE_SIZE_MAX)
    .refine(isPowerOfTwo, 'must be a power of two')
    .default(1024),
  queueNum: z.enum(['queues', 'pairs']).default('queues'),
  pcap: z.string().min(1).optional(),
  pcapLimitMib: z
    .int()
    .min(1)
    .max(2 ** 30)
    .default(1024),
});

export type SwitchOptions = z.infer<typeof switchOptionsSchema>;
export type SwitchCardOptions = Pick<SwitchOptions, 'offload' | 'mtu' | 'queueSize' | 'queueNum'> &
  Pick<SwitchOptions['ports'][number], 'mac'>;
export type PortRule = z.input<typeof portSchema>;

const WHOLE = /^\d{1,4}$/;

/** `2:access=10`, `1:trunk=10+20,native=5,isolated`, `1:mac=52:54:00:00:00:01`: a port, counted
 *  from 1, and its rule; or what is wrong with it. */
export function parsePortRule(text: string): { port: number; rule: PortRule } | string {
  const [, number = '', words = ''] = /^(\d{1,3}):(.+)$/.exec(text) ?? [];
  const port = Number(number);
  if (port < 1) {
    return `"${text}" is no rule like 2:access=10`;
  }
  const values = new Map(
    words.split(',').map((word): [string, string] => {
      const at = word.indexOf('=');
      return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
    }),
  );
  const numbers = (name: string) => values.get(name)?.split('+') ?? [];
  const all = [...numbers('access'), ...numbers('trunk'), ...numbers('native')];
  const strange = [...values.keys()].find((name) => !PORT_WORDS.has(name));
  if (strange !== undefined) {
    return `"${strange}" is none of ${[...PORT_WORDS].join(', ')}`;
  }
  const wrong = all.find((one) => !WHOLE.test(one) || Number(one) < 1 || Number(one) > VLAN_MAX);
  if (wrong !== undefined) {
    return `"${wrong}" is no VLAN from 1 to ${VLAN_MAX}`;
  }
  const mac = values.get('mac');
  if (mac !== undefined && parseMac(mac) === undefined) {
    return `"${mac}" is no address like 52:54:00:12:34:56`;
  }
  const vlans = portVlans(values, numbers);
  return vlans === undefined
    ? 'give access=VLAN or trunk=VLAN+VLAN[,native=VLAN]'
    : {
        port,
        rule: { isolated: values.has('isolated'), vlans, ...(mac === undefined ? {} : { mac }) },
      };
}

const PORT_WORDS = new Set(['access', 'trunk', 'native', 'isolated', 'mac']);

function portVlans(
  values: ReadonlyMap<string, string>,
  numbers: (name: string) => readonly string[],
): PortRule['vlans'] | undefined {
  const [access, trunk, native] = [numbers('access'), numbers('trunk'), numbers('native')];
  if (access.length > 1 || native.length > 1 || (values.has('access') && values.has('trunk'))) {
    return undefined;
  }
  if (trunk.length > 0) {
    const own = native[0] === undefined ? {} : { native: Number(native[0]) };
    return { kind: 'trunk', vlans: trunk.map(Number), ...own };
  }
  if (native.length > 0) {
    return undefined;
  }
  return access[0] === undefined ? { kind: 'any' } : { kind: 'access', vlan: Number(access[0]) };
}
