// The layout is written down twice, in native/core and here; these tests are what keeps the two one.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import * as exchange from '../../src/native/exchange.js';
import { native } from '../../src/native/index.js';

const CORE = fileURLToPath(new URL('../../../native/core', import.meta.url));
const header = readFileSync(join(CORE, 'exchange.h'), 'utf8');
const flows = readFileSync(join(CORE, 'frame-flow.h'), 'utf8');
const chains = readFileSync(join(CORE, 'descriptor-chain.h'), 'utf8');

const WORDS: Readonly<Record<string, number>> = {
  ...{ uint8_t: 0.25, uint32_t: 1, int32_t: 1, uint64_t: 2, double: 2 },
};
const FIELD = /^\s*(uint8_t|u?int32_t|uint64_t|double) (\w+)(?:\[(\w+)\])?;/gm;
const LENGTHS: Readonly<Record<string, number>> = { kFrontWords: 4, kFrontBytes: 32 };

/** Fields of a C++ struct, in words from its start. */
function wordOffsets(name: string, file = header): Record<string, number> {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(file)?.[1] ?? '';
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [, type, field, length] of body.matchAll(FIELD)) {
    offsets[field as string] = at;
    at += (WORDS[type as string] as number) * (LENGTHS[length ?? ''] ?? 1);
  }
  return offsets;
}

/** `constexpr uint32_t kName = …;`, or one of an enum. */
function constant(name: string, file = header): number {
  const text = new RegExp(`(?:constexpr uint32_t| ) ${name} = ([^;,]+)[;,]`).exec(file)?.[1] ?? '';
  const shift = /^1u << (\d+)$/.exec(text);
  return shift === null ? Number(text) : 2 ** Number(shift[1]);
}

t.test('the tables lie where native code has them', async (t) => {
  const tables = new exchange.Exchange();
  t.same(native.exchangeLayout, {
    bytes: exchange.EXCHANGE_BYTES,
    requests: tables.requests.byteOffset,
    commands: tables.commands.byteOffset,
    completions: tables.completions.byteOffset,
    events: tables.events.byteOffset,
    requestsMax: exchange.REQUESTS_MAX,
    commandsMax: exchange.COMMANDS_MAX,
  });
  t.equal(tables.bytes.byteLength, exchange.EXCHANGE_BYTES);
  t.equal(tables.commandDoubles.byteOffset, tables.commands.byteOffset);
  t.equal(tables.commandDoubles.byteLength, tables.commands.byteLength);
  t.equal(tables.events.byteOffset + tables.events.byteLength, exchange.EXCHANGE_BYTES);
});

t.test('the fields of a record lie where native code has them', async (t) => {
  t.match(wordOffsets('RequestRecord'), {
    chain: exchange.REQUEST_CHAIN,
    readableBytes: exchange.REQUEST_READABLE_BYTES,
    writableBytes: exchange.REQUEST_WRITABLE_BYTES,
    header: exchange.REQUEST_HEADER,
  });
  t.match(wordOffsets('CommandRecord'), {
    code: exchange.COMMAND_CODE,
    chain: exchange.COMMAND_CHAIN,
    flags: exchange.COMMAND_FLAGS,
    file: exchange.COMMAND_FILE,
    offset: exchange.COMMAND_OFFSET,
    length: exchange.COMMAND_LENGTH,
    chainOffset: exchange.COMMAND_CHAIN_OFFSET,
    tailOffset: exchange.COMMAND_TAIL_OFFSET,
    tailByte: exchange.COMMAND_TAIL_BYTE,
    usedLength: exchange.COMMAND_USED_LENGTH,
    tag: exchange.COMMAND_TAG,
    mode: exchange.COMMAND_MODE,
    capture: exchange.COMMAND_CAPTURE,
    hash: exchange.COMMAND_HASH,
  });
  t.equal(Object.keys(wordOffsets('FrameList')).length, exchange.FRAME_LIST_WORDS);
  t.same(wordOffsets('CompletionRecord'), {
    chain: exchange.COMPLETION_CHAIN,
    tag: exchange.COMPLETION_TAG,
    result: exchange.COMPLETION_RESULT,
    code: exchange.COMPLETION_CODE,
  });
  t.same(wordOffsets('FrameReport'), {
    chains: exchange.FRAME_REPORT_CHAINS,
    frames: exchange.FRAME_REPORT_FRAMES,
    bytes: exchange.FRAME_REPORT_BYTES,
    dropped: exchange.FRAME_REPORT_DROPPED,
    filtered: exchange.FRAME_REPORT_FILTERED,
  });
  t.match(wordOffsets('EventRecord'), {
    code: exchange.EVENT_CODE,
    queue: exchange.EVENT_QUEUE,
    detail: exchange.EVENT_DETAIL,
  });
});

t.test('flows and shelves lie where native code has them', async (t) => {
  t.same(wordOffsets('ChainShelf', flows), {
    taken: exchange.SHELF_TAKEN,
    put: exchange.SHELF_PUT,
    mask: exchange.SHELF_MASK,
    bytesMin: exchange.SHELF_BYTES_MIN,
  });
  t.same(wordOffsets('FrameFlow', flows), {
    front: exchange.FLOW_FRONT,
    mask: exchange.FLOW_MASK,
    prefix: exchange.FLOW_PREFIX,
    untilMs: exchange.FLOW_UNTIL_MS,
    prefixBytes: exchange.FLOW_PREFIX_BYTES,
    skippedBytes: exchange.FLOW_SKIPPED_BYTES,
    readableMin: exchange.FLOW_READABLE_MIN,
    readableMax: exchange.FLOW_READABLE_MAX,
    target: exchange.FLOW_TARGET,
    reserved: exchange.FLOW_WORDS - 1,
  });
  t.equal(constant('kFlowsPerQueue', flows), exchange.FLOWS_PER_QUEUE);
  t.equal(constant('kFrontWords', flows) * 2, exchange.FLOW_FRONT_WORDS);
  t.equal(constant('kCountFrames', flows), exchange.COUNT_FRAMES);
  t.equal(constant('kCountBytes', flows), exchange.COUNT_BYTES);
  t.equal(constant('kCountNoRoom', flows), exchange.COUNT_NO_ROOM);
});

t.test('the constants are those of native code', async (t) => {
  const rows: readonly (readonly [name: string, value: number])[] = [
    ['kHeaderBytesMax', exchange.HEADER_BYTES_MAX],
    ['kCommandDurable', exchange.FLAG_DURABLE],
    ['kCommandNotify', exchange.FLAG_NOTIFY],
    ['kCommandComplete', exchange.FLAG_COMPLETE],
    ['kCommandTail', exchange.FLAG_TAIL],
    ['kCommandAddBytes', exchange.FLAG_ADD_BYTES],
    ['kCommandSocket', exchange.FLAG_SOCKET],
    ['kCommandMessage', exchange.FLAG_MESSAGE],
    ['kCommandArena', exchange.FLAG_ARENA],
    ['kCommandPrefix', exchange.FLAG_PREFIX],
    ['kCommandMerge', exchange.FLAG_MERGE],
    ['kCommandFilter', exchange.FLAG_FILTER],
    ['kCommandHash', exchange.FLAG_HASH],
    ['kCommandSteer', exchange.FLAG_STEER],
    ['kTailLast', exchange.TAIL_LAST],
    ['kNoChain', exchange.NO_CHAIN],
    ['kSend', exchange.OP_SEND],
    ['kReceive', exchange.OP_RECEIVE],
    ['kCopy', exchange.OP_COPY],
    ['kReceiveFrames', exchange.OP_RECEIVE_FRAMES],
    ['kUnpop', exchange.OP_UNPOP],
    ['kCompleteList', exchange.OP_COMPLETE_LIST],
    ['kReadable', exchange.EVENT_READABLE],
    ['kRequestsMax', exchange.REQUESTS_MAX],
    ['kCommandsMax', exchange.COMMANDS_MAX],
    ['kCompletionsMax', exchange.COMPLETIONS_MAX],
    ['kEventsMax', exchange.EVENTS_MAX],
    ['kTurnCompletionsShift', exchange.TURN_COMPLETIONS_SHIFT],
    ['kTurnEventsShift', exchange.TURN_EVENTS_SHIFT],
    ['kTurnWake', exchange.TURN_WAKE],
  ];
  for (const [name, value] of rows) {
    t.equal(constant(name), value, name);
  }
  // A turn's three counts must fit their fields.
  for (const max of [exchange.REQUESTS_MAX, exchange.COMPLETIONS_MAX, exchange.EVENTS_MAX]) {
    t.ok(max <= exchange.TURN_COUNT_MASK);
  }
});

t.test('every ring fault has words, by its number', async (t) => {
  const faults = /enum class RingFault[^{]*\{([^}]*)\}/.exec(chains)?.[1] ?? '';
  const numbers = [...faults.matchAll(/k\w+ = (\d+)/g)].map(([, number]) => Number(number));
  t.same(
    numbers,
    exchange.RING_FAULTS.map((_, number) => number),
  );
  t.match(chains, `kMemoryLost = ${exchange.RING_FAULT_MEMORY_LOST},`);
});
