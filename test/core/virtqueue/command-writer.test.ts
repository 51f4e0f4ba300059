import t from 'tap';
import { CommandWriter } from '../../../src/core/virtqueue/command-writer.js';
import { exchange } from '../../../src/native/index.js';
import { type RecordedCommand, takeCommands } from '../../support/recorded-commands.js';

const { COMMANDS_MAX, NO_CHAIN, TAIL_LAST } = exchange;

function open() {
  const tables = new exchange.Exchange();
  // Whatever a former command left behind must not show.
  tables.commands.fill(0xaaaaaaaa);
  return { tables, writer: new CommandWriter(tables) };
}

t.test('every command fills the fields native code reads', async (t) => {
  const far = 2 ** 52 + 512;
  const plain = { chain: NO_CHAIN, flags: 'notify' };
  const rows: readonly (readonly [(writer: CommandWriter) => void, RecordedCommand])[] = [
    [
      (writer) => writer.transfer(exchange.OP_READ, 7, 0, 3, far, 4096, 0, 0, 4097, 5),
      {
        op: 'read',
        chain: 7,
        flags: 'complete tail',
        file: 3,
        offset: far,
        length: 4096,
        chainOffset: 0,
        tail: 0,
        tailOffset: TAIL_LAST,
        used: 4097,
        tag: 5,
      },
    ],
    [
      (writer) =>
        writer.transfer(exchange.OP_WRITE, 0xff7fff, exchange.FLAG_DURABLE, 0, 0, 1, 16, 1, 1, 2),
      {
        op: 'write',
        chain: 0xff7fff,
        flags: 'durable complete tail',
        file: 0,
        offset: 0,
        length: 1,
        chainOffset: 16,
        tail: 1,
        tailOffset: TAIL_LAST,
        used: 1,
        tag: 2,
      },
    ],
    [
      (writer) => writer.completeWithTail(9, 2, 1),
      { op: 'complete', chain: 9, flags: 'tail', tail: 2, tailOffset: TAIL_LAST, used: 1 },
    ],
    [
      (writer) =>
        writer.move(exchange.OP_RECEIVE, 9, exchange.FLAG_SOCKET | 16 | 4, 12, 4052, 44, 44, 3),
      {
        op: 'receive',
        chain: 9,
        flags: 'complete addBytes socket',
        file: 12,
        length: 4052,
        chainOffset: 44,
        used: 44,
        tag: 3,
      },
    ],
    [
      (writer) => writer.move(exchange.OP_SEND, NO_CHAIN, exchange.FLAG_ARENA, 12, 1, 64, 0, 3),
      {
        op: 'send',
        chain: NO_CHAIN,
        flags: 'arena',
        file: 12,
        length: 1,
        chainOffset: 64,
        used: 0,
        tag: 3,
      },
    ],
    [
      (writer) => writer.copy(0x10002, 12, 0x20003, 0, 1500, 8),
      {
        op: 'copy',
        chain: 0x10002,
        flags: '',
        file: 0x20003,
        length: 1500,
        chainOffset: 12,
        tailOffset: 0,
        tag: 8,
      },
    ],
    [
      (writer) => writer.complete(9, 0xffffffff),
      { op: 'complete', chain: 9, flags: '', used: 0xffffffff },
    ],
    [
      (writer) => writer.sync(1, 3),
      { op: 'sync', ...plain, file: 1, offset: 0, length: 0, tag: 3, mode: 0 },
    ],
    [
      (writer) => writer.allocate(1, far, 2 ** 31, 3, 0x7fffffff),
      {
        op: 'allocate',
        ...plain,
        file: 1,
        offset: far,
        length: 2 ** 31,
        tag: 0x7fffffff,
        mode: 3,
      },
    ],
    [
      (writer) => writer.writeZeros(1, 512, 1024, exchange.FLAG_DURABLE, 16),
      {
        op: 'writeZeros',
        chain: NO_CHAIN,
        flags: 'durable notify',
        file: 1,
        offset: 512,
        length: 1024,
        tag: 16,
        mode: 0,
      },
    ],
  ];
  const { tables, writer } = open();
  for (const [write, expected] of rows) {
    write(writer);
    t.same(takeCommands(tables, writer), [expected], expected.op);
  }
  for (const [write] of rows) {
    write(writer);
  }
  t.same(
    takeCommands(tables, writer),
    rows.map(([, expected]) => expected),
    'one behind the other',
  );
});

t.test('take hands out what was written, once', async (t) => {
  const { writer } = open();
  t.equal(writer.pending, false);
  t.equal(writer.take(), 0);
  writer.complete(1, 0);
  t.equal(writer.pending, true);
  t.equal(writer.take(), 1);
  t.equal(writer.pending, false);
  t.equal(writer.take(), 0);
});

/** Numbers used as chains: the order they were written in is the order they must come out in. */
function chains(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

t.test('more than a table holds keeps its order', async (t) => {
  for (const count of [
    COMMANDS_MAX - 1,
    COMMANDS_MAX,
    COMMANDS_MAX + 1,
    2 * COMMANDS_MAX,
    2 * COMMANDS_MAX + 1,
    5 * COMMANDS_MAX + 7,
  ]) {
    const { tables, writer } = open();
    for (const chain of chains(0, count)) {
      writer.complete(chain, 0);
    }
    const taken = takeCommands(tables, writer);
    t.same(
      taken.map(({ chain }) => chain),
      chains(0, count),
      `${count} commands`,
    );
  }
});

t.test('commands written between two takes come behind all that wait', async (t) => {
  const { tables, writer } = open();
  const written: number[] = [];
  const taken: number[] = [];
  const write = (count: number) => {
    for (const chain of chains(written.length, count)) {
      written.push(chain);
      writer.complete(chain, 0);
    }
  };
  const takeOne = () => {
    const count = writer.take();
    t.ok(count <= COMMANDS_MAX);
    for (let i = 0; i < count; i++) {
      taken.push(tables.commands[i * exchange.RECORD_WORDS + exchange.COMMAND_CHAIN] as number);
    }
  };
  write(3 * COMMANDS_MAX + 10);
  for (const more of [5, 0, COMMANDS_MAX + 1, 1, 0, 0]) {
    takeOne();
    write(more);
  }
  while (writer.pending) {
    takeOne();
  }
  t.equal(taken.length, written.length);
  t.same(taken, written);
});
