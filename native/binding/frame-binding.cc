// Frames in private memory.
#include <algorithm>
#include <cstring>

#include "../core/frame-filter.h"
#include "../core/frame-hash.h"
#include "../core/segmenter.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

// (table, frame, offset, length) -> boolean
Napi::Value passes(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes table = arguments.bytes(0);
  const Bytes frame = arguments.range(1);
  if (table.length != sizeof(FrameFilter) ||
      reinterpret_cast<uintptr_t>(table.data) % alignof(FrameFilter) != 0) {
    throw Napi::TypeError::New(info.Env(), "no table of a frame filter");
  }
  const auto* filter = reinterpret_cast<const FrameFilter*>(table.data);
  return Napi::Boolean::New(info.Env(), filter->passes(frame.data, frame.length));
}

FrameHash* hashOf(const Arguments& arguments, Napi::Env env) {
  const Bytes table = arguments.bytes(0);
  if (table.length != sizeof(FrameHash) ||
      reinterpret_cast<uintptr_t>(table.data) % alignof(FrameHash) != 0) {
    throw Napi::TypeError::New(env, "no table of a frame hash");
  }
  return reinterpret_cast<FrameHash*>(table.data);
}

// (table)
Napi::Value prepareHash(const Napi::CallbackInfo& info) {
  hashOf(Arguments(info), info.Env())->prepare();
  return info.Env().Undefined();
}

// (table, frame, offset, length, result): value, report and queue into three words
Napi::Value hash(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const FrameHash* table = hashOf(arguments, info.Env());
  const Bytes frame = arguments.range(1);
  const Bytes to = arguments.bytes(4);
  const HashedFrame hashed = table->hash(frame.data, frame.length);
  const uint32_t result[] = {hashed.value, hashed.report, table->queueOf(hashed)};
  if (to.length != sizeof result) {
    throw Napi::TypeError::New(info.Env(), "no room for the hash of a frame");
  }
  std::memcpy(to.data, result, sizeof result);
  return info.Env().Undefined();
}

constexpr size_t kLengthBytes = 4;
constexpr size_t kHeaderWords = 3;

FrameOffload offloadOf(const Bytes& header) {
  const auto* words = reinterpret_cast<const uint32_t*>(header.data);
  return {static_cast<uint8_t>(words[0]), static_cast<uint8_t>(words[0] >> 8),
          static_cast<uint16_t>(words[1]), static_cast<uint16_t>(words[1] >> 16),
          static_cast<uint16_t>(words[2])};
}

// (header, frame, offset, length, to, toOffset, room) -> bytes written, each segment behind its
// length in four bytes, big-endian; what they would take when `room` is less, and 0 for a frame
// that its header does not fit. header: three words of struct virtio_net_hdr.
Napi::Value segment(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes header = arguments.bytes(0);
  const Bytes frame = arguments.range(1);
  const Bytes to = arguments.range(4);
  if (header.length != kHeaderWords * sizeof(uint32_t) ||
      reinterpret_cast<uintptr_t>(header.data) % alignof(uint32_t) != 0) {
    throw Napi::TypeError::New(info.Env(), "no header of a frame");
  }
  Segmenter segmenter;
  if (!segmenter.begin(offloadOf(header), frame.data, frame.length)) {
    return number(info, 0);
  }
  const size_t bytes = segmenter.totalBytes() + segmenter.count() * kLengthBytes;
  uint8_t* at = to.data;
  while (bytes <= to.length && segmenter.nextBytes() > 0) {
    const size_t length = segmenter.next(at + kLengthBytes);
    for (size_t i = 0; i < kLengthBytes; i++) at[i] = static_cast<uint8_t>(length >> (24 - 8 * i));
    at += kLengthBytes + length;
  }
  return number(info, bytes);
}

}  // namespace

void initFrame(Napi::Env env, Napi::Object exports) {
  exports.Set("framePasses", Napi::Function::New(env, passes));
  exports.Set("frameHash", Napi::Function::New(env, hash));
  exports.Set("frameHashPrepare", Napi::Function::New(env, prepareHash));
  exports.Set("frameSegment", Napi::Function::New(env, segment));
}

}  // namespace vhost
