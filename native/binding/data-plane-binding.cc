// The data plane as a JavaScript object, owned by one worker thread.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "../core/data-plane.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

constexpr int64_t kPollUsMax = 1'000'000;

class DataPlaneBinding : public Napi::ObjectWrap<DataPlaneBinding> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    using Self = DataPlaneBinding;
    exports.Set("DataPlane",
                DefineClass(env, "DataPlane",
                            {InstanceMethod<&Self::turn>("turn"),
                             InstanceMethod<&Self::addFile>("addFile"),
                             InstanceMethod<&Self::startVring>("startVring"),
                             InstanceMethod<&Self::enableVring>("enableVring"),
                             InstanceMethod<&Self::setInband>("setInband"),
                             InstanceMethod<&Self::askKicks>("askKicks"),
                             InstanceMethod<&Self::paceCalls>("paceCalls"),
                             InstanceMethod<&Self::setCall>("setCall"),
                             InstanceMethod<&Self::setErr>("setErr"),
                             InstanceMethod<&Self::drainVring>("drainVring"),
                             InstanceMethod<&Self::endVring>("endVring"),
                             InstanceMethod<&Self::inFlight>("inFlight"),
                             InstanceMethod<&Self::inFlightTotal>("inFlightTotal"),
                             InstanceMethod<&Self::setLog>("setLog"),
                             InstanceMethod<&Self::setUsedLog>("setUsedLog"),
                             InstanceMethod<&Self::hold>("hold"),
                             InstanceMethod<&Self::limitTurn>("limitTurn"),
                             InstanceMethod<&Self::changeMemory>("changeMemory"),
                             InstanceMethod<&Self::changeTranslations>("changeTranslations"),
                             InstanceMethod<&Self::translationsSettled>("translationsSettled"),
                             InstanceMethod<&Self::missingAddress>("missingAddress"),
                             InstanceMethod<&Self::copyOut>("copyOut"),
                             InstanceMethod<&Self::copyIn>("copyIn"),
                             InstanceMethod<&Self::move>("move"),
                             InstanceMethod<&Self::receiveScattered>("receiveScattered"),
                             InstanceMethod<&Self::setArena>("setArena"),
                             InstanceMethod<&Self::keepChains>("keepChains"),
                             InstanceMethod<&Self::forwardFrames>("forwardFrames"),
                             InstanceMethod<&Self::setCapture>("setCapture"),
                             InstanceMethod<&Self::capture>("capture"),
                             InstanceMethod<&Self::watch>("watch"),
                             InstanceMethod<&Self::unwatch>("unwatch"),
                             InstanceMethod<&Self::giveUp>("giveUp"),
                             InstanceMethod<&Self::requestCount>("requestCount"),
                             InstanceMethod<&Self::callCount>("callCount"),
                             InstanceMethod<&Self::close>("close")}));
  }

  // (exchange, uring, wakeFd, pollUs, operationPollUs, headerBytes)
  explicit DataPlaneBinding(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<DataPlaneBinding>(info) {
    const Arguments arguments(info);
    const Bytes exchange = arguments.bytes(0);
    if (exchange.length != sizeof(Exchange)) {
      throw Napi::TypeError::New(info.Env(), "the exchange has another size");
    }
    DataPlaneOptions options;
    options.exchange = reinterpret_cast<Exchange*>(exchange.data);
    options.uring = arguments.boolean(1);
    options.wakeFd = arguments.fd(2);
    options.pollUs = static_cast<uint32_t>(arguments.integer(3, 0, kPollUsMax));
    options.operationPollUs = static_cast<uint32_t>(arguments.integer(4, 0, kPollUsMax));
    options.headerBytes = static_cast<uint32_t>(arguments.integer(5, 0, kHeaderBytesMax));
    int error = 0;
    plane_ = DataPlane::create(options, &error);
    if (plane_ == nullptr) {
      Napi::Error failure = Napi::Error::New(info.Env(), std::strerror(-error));
      failure.Set("errno", number(info, -error));
      throw failure;
    }
    exchange_ = Napi::Persistent(info[0].As<Napi::Object>());
  }

 private:
  DataPlane* plane(const Napi::CallbackInfo& info) {
    if (plane_ == nullptr) throw Napi::TypeError::New(info.Env(), "the data plane is closed");
    return plane_.get();
  }

  static uint32_t queue(const Napi::CallbackInfo& info) {
    return static_cast<uint32_t>(Arguments(info).integer(0, 0, DataPlane::kQueuesMax - 1));
  }

  // Two arguments: the first queue and the last.
  static QueueRange range(const Napi::CallbackInfo& info, size_t index) {
    const Arguments arguments(info);
    return {arguments.u32(index), arguments.u32(index + 1)};
  }

  // The one call of the data path: two small arguments in, one small integer out.
  Napi::Value turn(const Napi::CallbackInfo& info) {
    DataPlane* self = plane(info);
    uint32_t commands = 0;
    napi_get_value_uint32(info.Env(), info[0], &commands);
    bool mayBlock = false;
    napi_get_value_bool(info.Env(), info[1], &mayBlock);
    return number(info, self->turn(commands, mayBlock));
  }

  Napi::Value addFile(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    return number(info, plane(info)->addFile(arguments.u32(0), arguments.fd(1), arguments.u32(2)));
  }

  // (queue, size, descriptor, available, used, base, eventIdx, kick, call, err, memory, inflight,
  // packed, addressing, areaQueue, inOrder, readOnly); inflight 0: none; addressing 1: I/O
  // addresses, 2: guest addresses.
  Napi::Value startVring(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    DataPlane* self = plane(info);
    VringStart start;
    start.queue = queue(info);
    start.size = arguments.u32(1);
    start.addresses = {arguments.u64(2), arguments.u64(3), arguments.u64(4)};
    start.availBase = arguments.u32(5);
    start.eventIdx = arguments.boolean(6);
    start.kickFd = arguments.optionalFd(7);
    start.callFd = arguments.optionalFd(8);
    start.errFd = arguments.optionalFd(9);
    start.packed = arguments.boolean(12);
    const int64_t addressing = arguments.integer(13, 0, 3);
    start.addressing = {(addressing & 1) != 0, (addressing & 2) != 0};
    start.areaQueue = static_cast<uint32_t>(arguments.integer(14, 0, DataPlane::kQueuesMax - 1));
    start.inOrder = arguments.boolean(15);
    start.readOnly = arguments.boolean(16);
    auto memory = memoryById(arguments.u32(10));
    if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
    const uint32_t inflight = arguments.u32(11);
    start.inflight = inflightById(inflight);
    if (inflight != 0 && start.inflight == nullptr) {
      throw Napi::TypeError::New(info.Env(), "no inflight area of that number");
    }
    return number(info, self->startVring(start, std::move(memory)));
  }

  Napi::Value enableVring(const Napi::CallbackInfo& info) {
    plane(info)->enableVring(queue(info), Arguments(info).boolean(1));
    return info.Env().Undefined();
  }

  Napi::Value askKicks(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    plane(info)->askKicks(queue(info), arguments.boolean(1));
    return info.Env().Undefined();
  }

  Napi::Value paceCalls(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    plane(info)->paceCalls(queue(info), {arguments.u32(1), arguments.u32(2)});
    return info.Env().Undefined();
  }

  Napi::Value setInband(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    plane(info)->setInband(queue(info), arguments.boolean(1), arguments.boolean(2));
    return info.Env().Undefined();
  }

  Napi::Value setCall(const Napi::CallbackInfo& info) {
    const int fd = Arguments(info).optionalFd(1);
    plane(info)->setCall(queue(info), fd);
    return info.Env().Undefined();
  }

  Napi::Value setErr(const Napi::CallbackInfo& info) {
    const int fd = Arguments(info).optionalFd(1);
    plane(info)->setErr(queue(info), fd);
    return info.Env().Undefined();
  }

  Napi::Value drainVring(const Napi::CallbackInfo& info) {
    plane(info)->drainVring(queue(info), Arguments(info).boolean(1));
    return info.Env().Undefined();
  }

  Napi::Value endVring(const Napi::CallbackInfo& info) {
    return number(info, plane(info)->endVring(queue(info)));
  }

  Napi::Value inFlight(const Napi::CallbackInfo& info) {
    return number(info, plane(info)->inFlight(queue(info)));
  }

  Napi::Value inFlightTotal(const Napi::CallbackInfo& info) {
    return number(info, plane(info)->inFlightTotal(range(info, 0)));
  }

  // (log, data, first, last): 0 is no log.
  Napi::Value setLog(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    plane(info)->setLog(logById(arguments.u32(0)), arguments.boolean(1), range(info, 2));
    return info.Env().Undefined();
  }

  // (queue, on, address)
  Napi::Value setUsedLog(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    plane(info)->setUsedLog(queue(info), arguments.boolean(1), arguments.u64(2));
    return info.Env().Undefined();
  }

  Napi::Value hold(const Napi::CallbackInfo& info) {
    plane(info)->hold(Arguments(info).boolean(0), range(info, 1));
    return info.Env().Undefined();
  }

  Napi::Value limitTurn(const Napi::CallbackInfo& info) {
    plane(info)->limitTurn(Arguments(info).u32(0));
    return info.Env().Undefined();
  }

  Napi::Value changeMemory(const Napi::CallbackInfo& info) {
    auto memory = memoryById(Arguments(info).u32(0));
    if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
    const QueueRange queues = range(info, 1);
    if (plane(info)->inFlightTotal(queues) > 0) return number(info, -EBUSY);
    plane(info)->changeMemory(memory, queues);
    return number(info, 0);
  }

  // (memory, first address, last address, first queue, last queue)
  Napi::Value changeTranslations(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    auto memory = memoryById(arguments.u32(0));
    if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
    plane(info)->changeTranslations(memory, {arguments.u64(1), arguments.u64(2)}, range(info, 3));
    return info.Env().Undefined();
  }

  Napi::Value translationsSettled(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), plane(info)->translationsSettled());
  }

  Napi::Value missingAddress(const Napi::CallbackInfo& info) {
    return Napi::BigInt::New(info.Env(), plane(info)->missingAddress(queue(info)));
  }

  // (chain, offset in the readable part, to, toOffset, length) -> bytes copied or -errno.
  Napi::Value copyOut(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const Bytes to = arguments.range(2);
    return number(info, plane(info)->copyOut(arguments.u32(0), arguments.u32(1), to.data,
                                             static_cast<uint32_t>(to.length)));
  }

  // (chain, offset in the writable part, from, fromOffset, length) -> bytes copied or -errno.
  Napi::Value copyIn(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const Bytes from = arguments.range(2);
    return number(info, plane(info)->copyIn(arguments.u32(0), arguments.u32(1), from.data,
                                            static_cast<uint32_t>(from.length)));
  }

  // (code, chain, flags, fd, bytes, offset) -> bytes moved or -errno. On the data path: a call for
  // each packet, so the arguments are read without ceremony; what makes no sense is -EINVAL.
  Napi::Value move(const Napi::CallbackInfo& info) {
    DataPlane* self = plane(info);
    CommandRecord command = {};
    uint32_t* const fields[] = {&command.code, &command.chain, &command.flags, &command.file};
    for (size_t i = 0; i < 4; i++) napi_get_value_uint32(info.Env(), info[i], fields[i]);
    napi_get_value_double(info.Env(), info[4], &command.length);
    napi_get_value_uint32(info.Env(), info[5], &command.chainOffset);
    return number(info, self->moveNow(command));
  }

  // (fd, chains, from, count, bytes, prefix, lengthAt, whole) -> bytes received or -errno.
  Napi::Value receiveScattered(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const Bytes chains = arguments.bytes(1);
    const uint64_t from = arguments.u32(2);
    const uint32_t count = arguments.u32(3);
    const Bytes prefix = arguments.bytes(5);
    if ((from + count) * sizeof(uint32_t) > chains.length || prefix.length > Prefix::kBytesMax) {
      throw Napi::RangeError::New(info.Env(), "chains or prefix out of bounds");
    }
    return number(info, plane(info)->receiveScattered(
                            arguments.fd(0), reinterpret_cast<uint32_t*>(chains.data) + from, count,
                            arguments.u32(4),
                            {prefix.data, static_cast<uint32_t>(prefix.length), arguments.u32(6)},
                            arguments.boolean(7)));
  }

  // (bytes): kept alive and pinned as long as the data plane.
  Napi::Value setArena(const Napi::CallbackInfo& info) {
    const Bytes arena = Arguments(info).bytes(0);
    plane(info)->setArena({arena.data, arena.length});
    arena_ = Napi::Persistent(info[0].As<Napi::Object>());
    return info.Env().Undefined();
  }

  // Doubles to count in, kept alive as long as the data plane.
  double* counts(const Napi::CallbackInfo& info, size_t index) {
    const Bytes counts = Arguments(info).bytes(index);
    if (counts.length < kCountsMin * sizeof(double) ||
        reinterpret_cast<uintptr_t>(counts.data) % alignof(double) != 0) {
      throw Napi::TypeError::New(info.Env(), "counts have another size");
    }
    counts_.push_back(Napi::Persistent(info[index].As<Napi::Object>()));
    return reinterpret_cast<double*>(counts.data);
  }

  // (queue, offset in the arena, counts) -> 0 or -errno
  Napi::Value keepChains(const Napi::CallbackInfo& info) {
    const uint32_t offset = Arguments(info).u32(1);
    return number(info, plane(info)->keepChains(queue(info), offset, counts(info, 2)));
  }

  // (queue, offset in the arena, counts) -> 0 or -errno
  Napi::Value forwardFrames(const Napi::CallbackInfo& info) {
    const uint32_t offset = Arguments(info).u32(1);
    return number(info, plane(info)->forwardFrames(queue(info), offset, counts(info, 2)));
  }

  // (bytes) -> 0 or -errno; kept alive as long as the data plane.
  Napi::Value setCapture(const Napi::CallbackInfo& info) {
    const Bytes memory = Arguments(info).bytes(0);
    captureMemory_ = Napi::Persistent(info[0].As<Napi::Object>());
    return number(info, plane(info)->setCapture(memory.data, memory.length));
  }

  // (tag, prefix, prefixOffset, prefixBytes, chain, offset, bytes)
  Napi::Value capture(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const Bytes prefix = arguments.range(1);
    plane(info)->capture(arguments.u32(0), {prefix.data, prefix.length}, arguments.u32(4),
                         arguments.u32(5), arguments.u32(6));
    return info.Env().Undefined();
  }

  // (fd, token, writable) -> 0 or -errno
  Napi::Value watch(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    return number(info,
                  plane(info)->watch(arguments.fd(0), arguments.u32(1), arguments.boolean(2)));
  }

  Napi::Value unwatch(const Napi::CallbackInfo& info) {
    plane(info)->unwatch(Arguments(info).u32(0));
    return info.Env().Undefined();
  }

  Napi::Value giveUp(const Napi::CallbackInfo& info) {
    plane(info)->giveUp(queue(info), RingFault::kHandler);
    return info.Env().Undefined();
  }

  Napi::Value requestCount(const Napi::CallbackInfo& info) {
    return number(info, static_cast<int64_t>(plane(info)->requestCount(queue(info))));
  }

  Napi::Value callCount(const Napi::CallbackInfo& info) {
    return number(info, static_cast<int64_t>(plane(info)->callCount(queue(info))));
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    plane_.reset();
    return info.Env().Undefined();
  }

  std::unique_ptr<DataPlane> plane_;
  Napi::ObjectReference exchange_;
  Napi::ObjectReference arena_;
  Napi::ObjectReference captureMemory_;
  std::vector<Napi::ObjectReference> counts_;
};

}  // namespace

void initDataPlane(Napi::Env env, Napi::Object exports) {
  DataPlaneBinding::define(env, exports);
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("bytes", Napi::Number::New(env, sizeof(Exchange)));
  layout.Set("requests", Napi::Number::New(env, offsetof(Exchange, requests)));
  layout.Set("commands", Napi::Number::New(env, offsetof(Exchange, commands)));
  layout.Set("completions", Napi::Number::New(env, offsetof(Exchange, completions)));
  layout.Set("events", Napi::Number::New(env, offsetof(Exchange, events)));
  layout.Set("requestsMax", Napi::Number::New(env, kRequestsMax));
  layout.Set("commandsMax", Napi::Number::New(env, kCommandsMax));
  exports.Set("exchangeLayout", layout);
}

}  // namespace vhost
