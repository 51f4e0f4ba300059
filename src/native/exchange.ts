// The layout of native/core/exchange.h: tables shared with native code as flat arrays. Requests
// come in, commands go out, completions and events come back. A record is addressed by its index;
// the constants are word (4 byte) offsets within it.

export const HEADER_BYTES_MAX = 48;
export const REQUESTS_MAX = 256;
export const COMMANDS_MAX = 1024;
export const COMPLETIONS_MAX = 256;
export const EVENTS_MAX = 64;

export const RECORD_WORDS = 16;
export const SMALL_RECORD_WORDS = 4;

export const REQUEST_CHAIN = 0;
export const REQUEST_READABLE_BYTES = 1;
export const REQUEST_WRITABLE_BYTES = 2;
export const REQUEST_HEADER = 4;

export const COMMAND_CODE = 0;
export const COMMAND_CHAIN = 1;
export const COMMAND_FLAGS = 2;
export const COMMAND_FILE = 3;
export const COMMAND_OFFSET = 4; // float64
export const COMMAND_LENGTH = 6; // float64
export const COMMAND_CHAIN_OFFSET = 8;
export const COMMAND_TAIL_OFFSET = 9;
export const COMMAND_TAIL_BYTE = 10;
export const COMMAND_USED_LENGTH = 11;
export const COMMAND_TAG = 12;
export const COMMAND_MODE = 13;
export const COMMAND_CAPTURE = 14;
export const COMMAND_HASH = 15;

export const COMPLETION_CHAIN = 0;
export const COMPLETION_TAG = 1;
export const COMPLETION_RESULT = 2;
export const COMPLETION_CODE = 3;

export const EVENT_CODE = 0;
export const EVENT_QUEUE = 1;
export const EVENT_DETAIL = 2;

export const OP_READ = 1;
export const OP_WRITE = 2;
export const OP_SYNC = 3;
export const OP_ALLOCATE = 4;
export const OP_WRITE_ZEROS = 5;
export const OP_COMPLETE = 6;
export const OP_SEND = 7;
export const OP_RECEIVE = 8;
export const OP_COPY = 9;
export const OP_RECEIVE_FRAMES = 10;
export const OP_UNPOP = 11;
export const OP_COPY_FRAME = 12;
export const OP_COMPLETE_LIST = 13;

export const FLAG_DURABLE = 1;
export const FLAG_NOTIFY = 2;
export const FLAG_COMPLETE = 4;
export const FLAG_TAIL = 8;
export const FLAG_ADD_BYTES = 16;
export const FLAG_SOCKET = 32;
export const FLAG_MESSAGE = 64;
export const FLAG_ARENA = 128;
export const FLAG_PREFIX = 256;
export const FLAG_MERGE = 512;
export const FLAG_FILTER = 1024;
export const FLAG_HASH = 2048;
export const FLAG_STEER = 4096;

/** Tail offset: the last byte of the writable part. */
export const TAIL_LAST = 0xffffffff;

export const NO_CHAIN = 0xffffffff;

// A list of chains for OP_RECEIVE_FRAMES with FLAG_STEER, in words.
export const FRAME_LIST_WORDS = 2;

// What OP_RECEIVE_FRAMES leaves in the arena, in words.
export const FRAME_REPORT_WORDS = 5;
export const FRAME_REPORT_CHAINS = 0;
export const FRAME_REPORT_FRAMES = 1;
export const FRAME_REPORT_BYTES = 2;
export const FRAME_REPORT_DROPPED = 3;
export const FRAME_REPORT_FILTERED = 4;

// Chains that wait for frames (native/core/frame-flow.h), in words: behind these as many chain
// numbers as the mask has places, then as many lengths in bytes.
export const SHELF_TAKEN = 0;
export const SHELF_PUT = 1;
export const SHELF_MASK = 2;
export const SHELF_BYTES_MIN = 3;
export const SHELF_WORDS = 4;

// Where frames with a certain front go, in words; a queue has FLOWS_PER_QUEUE of them.
export const FLOW_FRONT = 0;
export const FLOW_MASK = 8;
export const FLOW_PREFIX = 16;
export const FLOW_UNTIL_MS = 24; // float64
export const FLOW_PREFIX_BYTES = 26;
export const FLOW_SKIPPED_BYTES = 27;
export const FLOW_READABLE_MIN = 28;
export const FLOW_READABLE_MAX = 29;
export const FLOW_TARGET = 30;
export const FLOW_WORDS = 32;
export const FLOW_FRONT_WORDS = 8;
export const FLOWS_PER_QUEUE = 8;

// What is counted of a queue without TypeScript, in doubles.
export const COUNT_FRAMES = 0;
export const COUNT_BYTES = 1;
export const COUNT_NO_ROOM = 6;

export const EVENT_QUEUE_BROKEN = 1;
export const EVENT_KICK_LOST = 2;
/** EVENT_QUEUE holds the token of a descriptor of the device's, EVENT_DETAIL 1 when it hung up. */
export const EVENT_READABLE = 3;
export const EVENT_CALL = 4;
/** An I/O address has no translation, or one that forbids the access; detail: the permission. */
export const EVENT_MISSING = 5;
export const EVENT_NO_PERMISSION = 6;

// What turn() returns.
export const TURN_COUNT_MASK = 0x3ff;
export const TURN_COMPLETIONS_SHIFT = 10;
export const TURN_EVENTS_SHIFT = 20;
export const TURN_WAKE = 1 << 30;

const REQUESTS_AT = 0;
const COMMANDS_AT = REQUESTS_AT + REQUESTS_MAX * RECORD_WORDS * 4;
const COMPLETIONS_AT = COMMANDS_AT + COMMANDS_MAX * RECORD_WORDS * 4;
const EVENTS_AT = COMPLETIONS_AT + COMPLETIONS_MAX * SMALL_RECORD_WORDS * 4;
export const EXCHANGE_BYTES = EVENTS_AT + EVENTS_MAX * SMALL_RECORD_WORDS * 4;

/** Why a ring was given up, by the number native code gives (RingFault). */
export const RING_FAULTS: readonly string[] = [
  'none',
  'avail.idx is more than the ring size ahead',
  'head index out of range',
  'descriptor is already in flight',
  'next index out of range',
  'descriptor chain is too long or a loop',
  'buffer outside guest memory',
  'readable descriptor behind a writable one',
  'indirect descriptor with NEXT',
  'indirect table of a bad length',
  'indirect table inside an indirect table',
  'descriptor chain of more than 2^32 - 1 bytes',
  'guest memory was taken away',
  'ring outside guest memory after a memory change',
  'the device failed',
  'buffer id out of range',
  'an available descriptor was taken back',
  'an I/O address without the permission for the access',
  'the inflight area makes no sense',
];
export const RING_FAULT_MEMORY_LOST = 12;

/** The tables, over one buffer that native code holds too. */
export class Exchange {
  readonly bytes = new Uint8Array(EXCHANGE_BYTES);
  readonly requests = new Uint32Array(this.bytes.buffer, REQUESTS_AT, REQUESTS_MAX * RECORD_WORDS);
  readonly commands = new Uint32Array(this.bytes.buffer, COMMANDS_AT, COMMANDS_MAX * RECORD_WORDS);
  /** The same commands for the two float64 fields: index = word index / 2. */
  readonly commandDoubles = new Float64Array(
    this.bytes.buffer,
    COMMANDS_AT,
    (COMMANDS_MAX * RECORD_WORDS) / 2,
  );
  readonly completions = new Int32Array(
    this.bytes.buffer,
    COMPLETIONS_AT,
    COMPLETIONS_MAX * SMALL_RECORD_WORDS,
  );
  readonly events = new Uint32Array(this.bytes.buffer, EVENTS_AT, EVENTS_MAX * SMALL_RECORD_WORDS);
}
