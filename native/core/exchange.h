// The tables that native code and TypeScript share: requests popped, commands decided, completions
// to look at, events. Flat arrays registered once, so that a turn costs one call and no allocation.
// src/native/exchange.ts holds the same layout; a test compares the two.
#ifndef VHOST_CORE_EXCHANGE_H_
#define VHOST_CORE_EXCHANGE_H_

#include <cstdint>

namespace vhost {

// 44 bytes is the longest header a device declares (vsock).
constexpr uint32_t kHeaderBytesMax = 48;

struct RequestRecord {
  uint32_t chain;  // queue << 16 | head index
  uint32_t readableBytes;
  uint32_t writableBytes;
  uint32_t reserved;
  uint8_t header[kHeaderBytesMax];  // a private copy: the guest can't change it any more
};
static_assert(sizeof(RequestRecord) == 64);

enum class CommandCode : uint32_t {
  // 1..5 are OperationCode.
  kComplete = 6,
  // One attempt on the descriptor in `file`; length is what may move at most, the result is what
  // did. A send of less than all and a receive of nothing leave the chain open.
  kSend = 7,     // readable part of a chain, or arena -> descriptor
  kReceive = 8,  // descriptor -> writable part of a chain, or arena
  // Readable part of a chain -> writable part of the chain in `file`, from tailOffset on.
  kCopy = 9,
  // Frames of the descriptor in `file` into chains that wait for them, as FrameReceiver does it.
  // The arena has `usedLength` chain numbers from chainOffset on, and gets a FrameReport at
  // tailOffset. length: bytes after which it is enough; mode: frames; tailByte: header bytes.
  // kCommandFilter: those the FrameFilter at `offset` in the arena lets through. kCommandHash: the
  // FrameHash at `hash` there tells what the header says. kCommandSteer: and into which of
  // `usedLength` FrameLists at chainOffset a frame goes; then there is a report for each of them.
  // Result: 0, the descriptor may have more, or -errno (-EAGAIN: it has none now).
  kReceiveFrames = 10,
  // The ring forgets the chain, and will pop it again: only for the last one popped of its ring.
  kUnpop = 11,
  // One frame over chains that wait for it: tailByte bytes of the arena from tailOffset on, then
  // `length` bytes of the readable part of `chain` (kNoChain: none) from chainOffset on, into
  // usedLength chains, each completed with what it got. `file` is the chain if there is one, else
  // where the arena has their numbers. kCommandComplete: `chain` is completed too.
  kCopyFrame = 12,
  // Gives chains back in which nothing was written: `usedLength` of their numbers in the arena from
  // chainOffset on. A command for each costs more than all that is done about it.
  kCompleteList = 13,
};

// CommandRecord::flags.
constexpr uint32_t kCommandDurable = 1;    // on stable storage before it is done (RWF_DSYNC)
constexpr uint32_t kCommandNotify = 2;     // completion record also on success
constexpr uint32_t kCommandComplete = 4;   // on success: tail byte, used element with usedLength
constexpr uint32_t kCommandTail = 8;       // tailByte is written at tailOffset
constexpr uint32_t kCommandAddBytes = 16;  // usedLength grows by what moved
constexpr uint32_t kCommandSocket = 32;    // sendmsg/recvmsg: never blocks, no SIGPIPE
constexpr uint32_t kCommandMessage = 64;   // the result is the message's length, also when cut
constexpr uint32_t kCommandArena = 128;    // chainOffset is an offset in the arena
// A send begins with tailByte bytes of the arena, from tailOffset on.
constexpr uint32_t kCommandPrefix = 256;
constexpr uint32_t kCommandMerge = 512;  // a frame may go over several chains
constexpr uint32_t kCommandFilter = 1024;
constexpr uint32_t kCommandHash = 2048;
constexpr uint32_t kCommandSteer = 4096;

// tailOffset: the last byte of the writable part, wherever that is (virtio-blk's status).
constexpr uint32_t kTailLast = 0xffffffff;

constexpr uint32_t kNoChain = 0xffffffff;

struct CommandRecord {
  uint32_t code;
  uint32_t chain;
  uint32_t flags;
  uint32_t file;
  double offset;         // bytes in the file
  double length;         // bytes
  uint32_t chainOffset;  // first byte within the readable (write) or writable (read) part
  uint32_t tailOffset;   // within the writable part
  uint32_t tailByte;
  uint32_t usedLength;
  uint32_t tag;  // comes back in the completion record
  int32_t mode;  // fallocate
  // kReceiveFrames: tag of the frames for whoever looks on (FrameCapture); 0: not shown.
  uint32_t capture;
  uint32_t hash;  // kReceiveFrames: where the arena has the FrameHash
};
static_assert(sizeof(CommandRecord) == 64);

struct CompletionRecord {
  uint32_t chain;
  uint32_t tag;
  int32_t result;  // 0 or -errno
  uint32_t code;
};
static_assert(sizeof(CompletionRecord) == 16);

// Chains of one queue that wait for frames: their numbers, in the arena.
struct FrameList {
  uint32_t offset;
  uint32_t count;
};
static_assert(sizeof(FrameList) == 8);

// What kReceiveFrames did: the first `chains` of the list are used.
struct FrameReport {
  uint32_t chains;
  uint32_t frames;
  uint32_t bytes;     // of those frames, without headers
  uint32_t dropped;   // frames that fitted nowhere
  uint32_t filtered;  // frames the driver does not want
};
static_assert(sizeof(FrameReport) == 20);

enum class EventCode : uint32_t {
  kQueueBroken = 1,   // detail: RingFault
  kKickLost = 2,      // the kick descriptor hung up and is no longer watched
  kReadable = 3,      // queue: the token of a descriptor of the device's; detail: 1 when it hung up
  kCall = 4,          // the driver is to be called by a message, there is no call descriptor
  kMissing = 5,       // an I/O address has no translation; detail: the permission wanted
  kNoPermission = 6,  // its translation forbids the access; the ring is broken. detail: as before
};

struct EventRecord {
  uint32_t code;
  uint32_t queue;
  uint32_t detail;
  uint32_t reserved;
};
static_assert(sizeof(EventRecord) == 16);

constexpr uint32_t kRequestsMax = 256;
constexpr uint32_t kCommandsMax = 1024;
constexpr uint32_t kCompletionsMax = 256;
constexpr uint32_t kEventsMax = 64;

// Where each table starts in the one buffer both sides hold.
struct Exchange {
  RequestRecord requests[kRequestsMax];
  CommandRecord commands[kCommandsMax];
  CompletionRecord completions[kCompletionsMax];
  EventRecord events[kEventsMax];
};

// What a turn returns, packed into one small integer: no typed array is read when there is nothing.
constexpr uint32_t kTurnCompletionsShift = 10;
constexpr uint32_t kTurnEventsShift = 20;
constexpr uint32_t kTurnWake = 1u << 30;

}  // namespace vhost

#endif  // VHOST_CORE_EXCHANGE_H_
