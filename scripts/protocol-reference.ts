// Writes docs/reference/protocol.md from the request tables, the handlers and the tests, so that it
// can't say what the code does not. `node dist/scripts/protocol-reference.js` writes it.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  BACKEND_REQUESTS,
  type FdRange,
  FRONTEND_REQUESTS,
  fdBounds,
  PROTOCOL_FEATURES,
  protocolFeatureNames,
  type RequestRow,
} from '../src/core/protocol/index.js';
import { HANDLERS } from '../src/core/session/handlers/index.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const REFERENCE_PATH = join(ROOT, 'docs/reference/protocol.md');

const HANDLERS_DIR = 'src/core/session/handlers';
const SESSION_DIR = 'src/core/session';
const TESTS = ['test/core/session/handlers', 'test/core/session', 'test/core', 'test/e2e'];

/** Refused on purpose; the reasons a reader asks for. */
const NEVER = [
  ['XEN_MMAP', 'memory of a Xen guest is mapped through the hypervisor, which this daemon is not'],
  ['CROSS_ENDIAN', 'only legacy devices have rings in another byte order than little-endian'],
  ['CRYPTO_SESSION', 'no document lays its messages out, and each front-end sends its own struct'],
] as const;

const HEAD = `# vhost-user messages

Written by \`scripts/protocol-reference.ts\` from the tables in \`src/core/protocol\`: change those, not this file.

A request whose protocol feature was not negotiated is refused. **Reply** says when one is sent: *always*, or *ack* with REPLY_ACK and
NEED_REPLY only. **Handled** is a file of \`${HANDLERS_DIR}\`; *refused* is never a pretended success.
`;

/** The whole text of the file. */
export function protocolReference(): string {
  const parts = [
    HEAD,
    '## From the front-end, on the main channel\n',
    table('Handled', rowsOf(FRONTEND_REQUESTS), handledIn),
    '## From the back-end, on the socket of SET_BACKEND_REQ_FD\n',
    table('Sent', rowsOf(BACKEND_REQUESTS), sentBy),
    '## Protocol features never offered\n',
    ...NEVER.map(([name, reason]) => `- \`${name}\` (bit ${bitOf(name)}): ${reason}.`),
    '',
  ];
  return parts.join('\n');
}

function rowsOf(rows: readonly unknown[]): readonly RequestRow[] {
  return rows as readonly RequestRow[];
}

function bitOf(name: (typeof NEVER)[number][0]): number {
  const mask = PROTOCOL_FEATURES[`VHOST_USER_PROTOCOL_F_${name}`];
  return mask.toString(2).length - 1;
}

function table(
  place: string,
  rows: readonly RequestRow[],
  placeOf: (row: RequestRow) => string,
): string {
  const head = ['Id', 'Message', 'Protocol feature', 'Descriptors', 'Reply', place, 'Test', 'Rule'];
  const lines = rows.map((row) => [
    `${row.id}`,
    `\`${row.name}\``,
    featuresOf(row),
    range(fdBounds(row as never)),
    replyOf(row),
    placeOf(row),
    testOf(row.name, placeOf(row)),
    row.clause,
  ]);
  const all = [head, head.map(() => '---'), ...lines];
  return `${all.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}

function featuresOf({ needs, feature }: RequestRow): string {
  const names = protocolFeatureNames(needs).map((name) =>
    name.replace('VHOST_USER_PROTOCOL_F_', ''),
  );
  if (feature !== undefined) {
    names.push(`virtio bit ${feature.mask.toString(2).length - 1} ${feature.state}`);
  }
  return names.length === 0 ? '-' : names.join(', ');
}

function range({ min, max }: FdRange): string {
  return min === max ? `${min}` : `${min} to ${max}`;
}

function replyOf({ reply }: RequestRow): string {
  if (reply.when === 'ack') {
    return 'ack';
  }
  const withFd = reply.fds.max > 0 ? ' + descriptor' : '';
  const what = `${reply.payload}${withFd}`;
  return reply.when === 'always'
    ? `always: ${what}`
    : `always with ${protocolFeatureNames(reply.when).join()}: ${what}`.replace(
        'VHOST_USER_PROTOCOL_F_',
        '',
      );
}

function handledIn({ name }: RequestRow): string {
  const handler = HANDLERS[name as keyof typeof HANDLERS].name;
  if (handler === 'unsupported') {
    return 'refused';
  }
  const file = sources(HANDLERS_DIR).find((path) =>
    read(path).includes(`export async function ${handler}(`),
  );
  return `\`${basename(file ?? 'index.ts')}\``;
}

function sentBy({ name }: RequestRow): string {
  const files = sources(SESSION_DIR).filter((path) => read(path).includes(`'${name}'`));
  return files.length === 0
    ? 'not yet; typed'
    : files.map((path) => `\`${basename(path)}\``).join(', ');
}

/** The test that names the message: the handler's own, else the nearest. */
function testOf(name: string, place: string): string {
  const twin = place.replaceAll('`', '').replace('.ts', '.test.ts');
  for (const folder of TESTS) {
    const files = sources(folder).filter((path) => read(path).includes(`'${name}'`));
    const file = files.find((path) => basename(path) === twin) ?? files[0];
    if (file !== undefined) {
      return `\`${file}\``;
    }
  }
  return '-';
}

function sources(place: string): string[] {
  return readdirSync(join(ROOT, place))
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => `${place}/${name}`);
}

const texts = new Map<string, string>();

function read(path: string): string {
  const text = texts.get(path) ?? readFileSync(join(ROOT, path), 'utf8');
  texts.set(path, text);
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(dirname(REFERENCE_PATH), { recursive: true });
  writeFileSync(REFERENCE_PATH, protocolReference());
}
