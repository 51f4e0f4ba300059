// A virtqueue as a JavaScript object, for who drives one without a worker. Chains come and go in
// two tables that both sides hold; nothing is decided here.
#include <algorithm>
#include <cerrno>

#include "../core/owned-queue.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

uint32_t smallNumber(const Napi::CallbackInfo& info, size_t index) {
  uint32_t value = 0;
  napi_get_value_uint32(info.Env(), info[index], &value);
  return value;
}

std::shared_ptr<GuestMemory> memoryArgument(const Napi::CallbackInfo& info) {
  auto memory = memoryById(Arguments(info).u32(0));
  if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
  return memory;
}

// Bits of the ring's mode in start().
constexpr int64_t kModeEventIdx = 1;
constexpr int64_t kModePacked = 2;
constexpr int64_t kModeInOrder = 4;
constexpr int64_t kModeGuestAddresses = 8;

class OwnedQueueBinding : public Napi::ObjectWrap<OwnedQueueBinding> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    using Self = OwnedQueueBinding;
    exports.Set(
        "OwnedQueue",
        DefineClass(
            env, "OwnedQueue",
            {InstanceMethod<&Self::start>("start"), InstanceMethod<&Self::pop>("pop"),
             InstanceMethod<&Self::addUsed>("addUsed"),
             InstanceMethod<&Self::goToPrevious>("goToPrevious"),
             InstanceMethod<&Self::available>("available"), InstanceMethod<&Self::fault>("fault"),
             InstanceMethod<&Self::seek>("seek"), InstanceMethod<&Self::move>("move"),
             InstanceMethod<&Self::enableNotification>("enableNotification"),
             InstanceMethod<&Self::disableNotification>("disableNotification"),
             InstanceMethod<&Self::needsNotification>("needsNotification"),
             InstanceMethod<&Self::availIndex>("availIndex"),
             InstanceMethod<&Self::usedIndex>("usedIndex"),
             InstanceMethod<&Self::nextAvail>("nextAvail"),
             InstanceMethod<&Self::nextUsed>("nextUsed"),
             InstanceMethod<&Self::inFlightCount>("inFlightCount"),
             InstanceMethod<&Self::copyOut>("copyOut"), InstanceMethod<&Self::copyIn>("copyIn"),
             InstanceMethod<&Self::close>("close")}));
  }

  // (records, used): the tables, kept alive and pinned as long as the queue.
  explicit OwnedQueueBinding(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<OwnedQueueBinding>(info) {
    const Arguments arguments(info);
    const Bytes records = arguments.bytes(0);
    const Bytes used = arguments.bytes(1);
    records_ = reinterpret_cast<RequestRecord*>(records.data);
    recordsMax_ = static_cast<uint32_t>(records.length / sizeof(RequestRecord));
    used_ = reinterpret_cast<UsedRecord*>(used.data);
    usedMax_ = static_cast<uint32_t>(used.length / sizeof(UsedRecord));
    recordsOwner_ = Napi::Persistent(info[0].As<Napi::Object>());
    usedOwner_ = Napi::Persistent(info[1].As<Napi::Object>());
  }

 private:
  OwnedQueue* queue(const Napi::CallbackInfo& info) {
    if (queue_ == nullptr) throw Napi::TypeError::New(info.Env(), "the virtqueue is not started");
    return queue_.get();
  }
  Virtqueue& ring(const Napi::CallbackInfo& info) { return queue(info)->ring(); }

  // (memory, size, descriptor, available, used, nextAvail, nextUsed, mode, headerBytes, inflight,
  // queue) -> 0 or -errno
  Napi::Value start(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto memory = memoryArgument(info);
    const int64_t mode = arguments.integer(7, 0, 15);
    const auto nextAvail = static_cast<uint32_t>(arguments.integer(5, 0, UINT16_MAX));
    const auto nextUsed = static_cast<uint32_t>(arguments.integer(6, 0, UINT16_MAX));
    const bool packed = (mode & kModePacked) != 0;
    OwnedQueueStart with;
    with.ring = {packed,
                 arguments.u32(1),
                 {arguments.u64(2), arguments.u64(3), arguments.u64(4)},
                 packed ? nextAvail | nextUsed << 16 : nextAvail,
                 (mode & kModeEventIdx) != 0,
                 {false, (mode & kModeGuestAddresses) != 0},
                 (mode & kModeInOrder) != 0};
    with.nextUsed = static_cast<uint16_t>(nextUsed);
    with.headerBytes = static_cast<uint32_t>(arguments.integer(8, 0, kHeaderBytesMax));
    with.inflight = inflightById(arguments.u32(9));
    with.queue = arguments.u32(10);
    auto started = std::make_unique<OwnedQueue>();
    const int result = started->start(memory, with);
    if (result == 0) queue_ = std::move(started);
    return number(info, result);
  }

  // (max) -> chains in the table.
  Napi::Value pop(const Napi::CallbackInfo& info) {
    const uint32_t max = std::min(smallNumber(info, 0), recordsMax_);
    return number(info, queue(info)->pop(max, records_));
  }

  // (count) -> how many of the table were in flight and went back.
  Napi::Value addUsed(const Napi::CallbackInfo& info) {
    const uint32_t count = std::min(smallNumber(info, 0), usedMax_);
    return number(info, queue(info)->addUsed(used_, count));
  }

  Napi::Value goToPrevious(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), queue(info)->goToPrevious());
  }

  Napi::Value available(const Napi::CallbackInfo& info) {
    return number(info, queue(info)->available());
  }

  Napi::Value fault(const Napi::CallbackInfo& info) {
    return number(info, static_cast<uint32_t>(queue(info)->fault()));
  }

  // (nextAvail, nextUsed) -> 0 or -errno
  Napi::Value seek(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto nextAvail = static_cast<uint16_t>(arguments.integer(0, 0, UINT16_MAX));
    const auto nextUsed = static_cast<uint16_t>(arguments.integer(1, 0, UINT16_MAX));
    return number(info, ring(info).seek(nextAvail, nextUsed));
  }

  // (memory) -> 0, -EBUSY while chains point into the former one, or -EFAULT
  Napi::Value move(const Napi::CallbackInfo& info) {
    auto memory = memoryArgument(info);
    if (ring(info).inFlightCount() > 0) return number(info, -EBUSY);
    return number(info, queue(info)->move(std::move(memory)) ? 0 : -EFAULT);
  }

  Napi::Value enableNotification(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), ring(info).enableNotification());
  }

  Napi::Value disableNotification(const Napi::CallbackInfo& info) {
    ring(info).disableNotification();
    return info.Env().Undefined();
  }

  Napi::Value needsNotification(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), ring(info).needsCall());
  }

  Napi::Value availIndex(const Napi::CallbackInfo& info) {
    return number(info, ring(info).availIndex());
  }

  Napi::Value usedIndex(const Napi::CallbackInfo& info) {
    return number(info, ring(info).usedIndex());
  }

  Napi::Value nextAvail(const Napi::CallbackInfo& info) {
    return number(info, ring(info).nextAvail());
  }

  Napi::Value nextUsed(const Napi::CallbackInfo& info) {
    return number(info, ring(info).nextUsed());
  }

  Napi::Value inFlightCount(const Napi::CallbackInfo& info) {
    return number(info, ring(info).inFlightCount());
  }

  // (head, offset in the readable part, to, toOffset, length) -> bytes copied or -errno.
  Napi::Value copyOut(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const uint32_t offset = arguments.u32(1);
    const Bytes to = arguments.range(2);
    const DescriptorChain* chain = chainArgument(info);
    if (chain == nullptr) return number(info, -EINVAL);
    const auto copied = chain->copyOut(offset, to.data, to.length);
    return number(info, static_cast<int64_t>(copied));
  }

  // (head, offset in the writable part, from, fromOffset, length) -> bytes copied or -errno.
  Napi::Value copyIn(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const uint32_t offset = arguments.u32(1);
    const Bytes from = arguments.range(2);
    const DescriptorChain* chain = chainArgument(info);
    if (chain == nullptr) return number(info, -EINVAL);
    const auto copied = chain->copyIn(offset, from.data, from.length);
    return number(info, static_cast<int64_t>(copied));
  }

  DescriptorChain* chainArgument(const Napi::CallbackInfo& info) {
    const auto head = static_cast<uint16_t>(Arguments(info).integer(0, 0, UINT16_MAX));
    return queue_ != nullptr && ring(info).inFlight(head) ? &ring(info).chain(head) : nullptr;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    queue_.reset();
    return info.Env().Undefined();
  }

  RequestRecord* records_ = nullptr;
  uint32_t recordsMax_ = 0;
  UsedRecord* used_ = nullptr;
  uint32_t usedMax_ = 0;
  Napi::ObjectReference recordsOwner_;
  Napi::ObjectReference usedOwner_;
  std::unique_ptr<OwnedQueue> queue_;
};

}  // namespace

void initVirtqueue(Napi::Env env, Napi::Object exports) {
  OwnedQueueBinding::define(env, exports);
}

}  // namespace vhost
