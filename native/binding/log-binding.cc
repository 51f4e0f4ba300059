// Dirty logs by number.
#include "../core/dirty-log.h"
#include "arguments.h"
#include "bindings.h"
#include "registry.h"

namespace vhost {
namespace {

Registry<const DirtyLog> logs;

Napi::Value added(const Napi::CallbackInfo& info, std::shared_ptr<const DirtyLog> log) {
  return number(info, logs.add(std::move(log)));
}

std::shared_ptr<const DirtyLog> logOf(const Napi::CallbackInfo& info) {
  auto log = logById(Arguments(info).u32(0));
  if (log == nullptr) throw Napi::TypeError::New(info.Env(), "no dirty log of that number");
  return log;
}

// (fd, sizeBytes, offsetBytes) -> log or -errno. The descriptor stays the caller's.
Napi::Value logMap(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  int error = 0;
  auto log = DirtyLog::map(arguments.fd(0), arguments.u64(1), arguments.u64(2), &error);
  return log == nullptr ? number(info, error) : added(info, std::move(log));
}

// (log, fd) -> a log of the same bits that signals the descriptor, and owns it.
Napi::Value logWithSignal(const Napi::CallbackInfo& info) {
  return added(info, logOf(info)->withSignal(Arguments(info).fd(1)));
}

// (log, guestAddress, bytes)
Napi::Value logCovers(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return Napi::Boolean::New(info.Env(), logOf(info)->covers(arguments.u64(1), arguments.u64(2)));
}

// (log, memory): is there a bit for every page of it?
Napi::Value logCoversMemory(const Napi::CallbackInfo& info) {
  const auto log = logOf(info);
  const auto memory = memoryById(Arguments(info).u32(1));
  if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
  bool covers = true;
  for (size_t i = 0; i < memory->regionCount(); i++) {
    const RegionDescription& region = memory->region(i).description();
    covers = covers && log->covers(region.guestAddress, region.sizeBytes);
  }
  return Napi::Boolean::New(info.Env(), covers);
}

Napi::Value logRelease(const Napi::CallbackInfo& info) {
  logs.release(Arguments(info).u32(0));
  return info.Env().Undefined();
}

}  // namespace

std::shared_ptr<const DirtyLog> logById(uint32_t id) {
  return logs.get(id);
}

void initLog(Napi::Env env, Napi::Object exports) {
  exports.Set("logMap", Napi::Function::New(env, logMap));
  exports.Set("logWithSignal", Napi::Function::New(env, logWithSignal));
  exports.Set("logCovers", Napi::Function::New(env, logCovers));
  exports.Set("logCoversMemory", Napi::Function::New(env, logCoversMemory));
  exports.Set("logRelease", Napi::Function::New(env, logRelease));
}

}  // namespace vhost
