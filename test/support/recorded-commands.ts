// What a CommandWriter wrote, as objects: read from the table native code would read.

import type { CommandWriter } from '../../src/core/virtqueue/command-writer.js';
import { exchange } from '../../src/native/index.js';

export interface RecordedCommand {
  readonly op: string;
  readonly chain?: number;
  readonly flags?: string;
  readonly file?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly chainOffset?: number;
  readonly tail?: number;
  readonly tailOffset?: number;
  readonly used?: number;
  readonly tag?: number;
  readonly mode?: number;
}

const FLAGS = [
  ['durable', exchange.FLAG_DURABLE],
  ['notify', exchange.FLAG_NOTIFY],
  ['complete', exchange.FLAG_COMPLETE],
  ['tail', exchange.FLAG_TAIL],
  ['addBytes', exchange.FLAG_ADD_BYTES],
  ['socket', exchange.FLAG_SOCKET],
  ['message', exchange.FLAG_MESSAGE],
  ['arena', exchange.FLAG_ARENA],
] as const;

const OPS: Readonly<Record<number, string>> = {
  [exchange.OP_READ]: 'read',
  [exchange.OP_WRITE]: 'write',
  [exchange.OP_SYNC]: 'sync',
  [exchange.OP_ALLOCATE]: 'allocate',
  [exchange.OP_WRITE_ZEROS]: 'writeZeros',
  [exchange.OP_COMPLETE]: 'complete',
  [exchange.OP_SEND]: 'send',
  [exchange.OP_RECEIVE]: 'receive',
  [exchange.OP_COPY]: 'copy',
};

/** All commands that wait, in their order; the writer is empty afterwards. */
export function takeCommands(tables: exchange.Exchange, writer: CommandWriter): RecordedCommand[] {
  const found: RecordedCommand[] = [];
  do {
    const count = writer.take();
    for (let i = 0; i < count; i++) {
      found.push(commandAt(tables, i));
    }
  } while (writer.pending);
  return found;
}

/** The fields that mean something for the command's code. */
function commandAt(tables: exchange.Exchange, index: number): RecordedCommand {
  const at = index * exchange.RECORD_WORDS;
  const word = (field: number) => tables.commands[at + field] as number;
  const double = (field: number) => tables.commandDoubles[(at + field) >> 1] as number;
  const bits = word(exchange.COMMAND_FLAGS);
  const flags = FLAGS.filter(([, bit]) => bits & bit).map(([name]) => name);
  const op = OPS[word(exchange.COMMAND_CODE)] ?? `op ${word(exchange.COMMAND_CODE)}`;
  const tail =
    bits & exchange.FLAG_TAIL
      ? {
          tail: word(exchange.COMMAND_TAIL_BYTE),
          tailOffset: word(exchange.COMMAND_TAIL_OFFSET),
        }
      : {};
  const common = { op, chain: word(exchange.COMMAND_CHAIN), flags: flags.join(' '), ...tail };
  if (op === 'complete') {
    return { ...common, used: word(exchange.COMMAND_USED_LENGTH) };
  }
  if (op === 'send' || op === 'receive' || op === 'copy') {
    return {
      ...common,
      file: word(exchange.COMMAND_FILE),
      length: double(exchange.COMMAND_LENGTH),
      chainOffset: word(exchange.COMMAND_CHAIN_OFFSET),
      tag: word(exchange.COMMAND_TAG),
      ...(op === 'copy'
        ? { tailOffset: word(exchange.COMMAND_TAIL_OFFSET) }
        : { used: word(exchange.COMMAND_USED_LENGTH) }),
    };
  }
  const range = {
    file: word(exchange.COMMAND_FILE),
    offset: double(exchange.COMMAND_OFFSET),
    length: double(exchange.COMMAND_LENGTH),
    tag: word(exchange.COMMAND_TAG),
  };
  return op === 'read' || op === 'write'
    ? {
        ...common,
        ...range,
        chainOffset: word(exchange.COMMAND_CHAIN_OFFSET),
        used: word(exchange.COMMAND_USED_LENGTH),
      }
    : { ...common, ...range, mode: word(exchange.COMMAND_MODE) };
}
