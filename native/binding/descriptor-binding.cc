#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../core/host-file.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

Napi::Value fdClose(const Napi::CallbackInfo& info) {
  return number(info, close(Arguments(info).fd(0)) == 0 ? 0 : -errno);
}

Napi::Value fdDuplicate(const Napi::CallbackInfo& info) {
  const int fd = fcntl(Arguments(info).fd(0), F_DUPFD_CLOEXEC, 3);
  return number(info, fd < 0 ? -errno : fd);
}

Napi::Value fdKindOf(const Napi::CallbackInfo& info) {
  return number(info, fdKind(Arguments(info).fd(0)));
}

Napi::Value fdSetNonBlocking(const Napi::CallbackInfo& info) {
  makeNonBlocking(Arguments(info).fd(0));
  return info.Env().Undefined();
}

Napi::Value eventfdCreate(const Napi::CallbackInfo& info) {
  return number(info, createEventfd(Arguments(info).u32(0)));
}

Napi::Value eventfdSignal(const Napi::CallbackInfo& info) {
  return number(info, signalEventfd(Arguments(info).fd(0)));
}

Napi::Value eventfdRead(const Napi::CallbackInfo& info) {
  return number(info, readEventfd(Arguments(info).fd(0)));
}

Napi::Value timerCreate(const Napi::CallbackInfo& info) {
  return number(info, createTimer());
}

// (fd, first expiry in ms, 0: never; then every so many ms, 0: once)
Napi::Value timerArm(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, armTimer(arguments.fd(0), arguments.u32(1), arguments.u32(2)));
}

Napi::Value memfdCreate(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, createMemfd(arguments.text(0).c_str(),
                                  static_cast<uint64_t>(arguments.integer(1, 0, 1LL << 52))));
}

// (fd, exclusive, start, bytes) -> 0 or -errno.
Napi::Value fileLock(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info,
                lockRange(arguments.fd(0), arguments.boolean(1), arguments.integer(2, 0, 1LL << 52),
                          arguments.integer(3, 0, 1LL << 52)));
}

Napi::Value fileUnlock(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, unlockRange(arguments.fd(0), arguments.integer(1, 0, 1LL << 52),
                                  arguments.integer(2, 0, 1LL << 52)));
}

Napi::Value fileProbeLock(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info,
                probeLock(arguments.fd(0), arguments.boolean(1), arguments.integer(2, 0, 1LL << 52),
                          arguments.integer(3, 0, 1LL << 52)));
}

// (fd) -> {bytes, logicalBlockBytes}; bytes is -errno for what is no block device.
Napi::Value blockDevice(const Napi::CallbackInfo& info) {
  uint32_t logicalBlockBytes = 0;
  const int64_t bytes = blockDeviceBytes(Arguments(info).fd(0), &logicalBlockBytes);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("bytes", number(info, bytes));
  result.Set("logicalBlockBytes", number(info, logicalBlockBytes));
  return result;
}

Napi::Value fileDirectAlignment(const Napi::CallbackInfo& info) {
  return number(info, directAlignment(Arguments(info).fd(0)));
}

}  // namespace

void initDescriptors(Napi::Env env, Napi::Object exports) {
  exports.Set("fdClose", Napi::Function::New(env, fdClose));
  exports.Set("fdDuplicate", Napi::Function::New(env, fdDuplicate));
  exports.Set("fdKind", Napi::Function::New(env, fdKindOf));
  exports.Set("fdSetNonBlocking", Napi::Function::New(env, fdSetNonBlocking));
  exports.Set("eventfdCreate", Napi::Function::New(env, eventfdCreate));
  exports.Set("eventfdSignal", Napi::Function::New(env, eventfdSignal));
  exports.Set("eventfdRead", Napi::Function::New(env, eventfdRead));
  exports.Set("timerCreate", Napi::Function::New(env, timerCreate));
  exports.Set("timerArm", Napi::Function::New(env, timerArm));
  exports.Set("memfdCreate", Napi::Function::New(env, memfdCreate));
  exports.Set("fileLock", Napi::Function::New(env, fileLock));
  exports.Set("fileUnlock", Napi::Function::New(env, fileUnlock));
  exports.Set("fileProbeLock", Napi::Function::New(env, fileProbeLock));
  exports.Set("blockDevice", Napi::Function::New(env, blockDevice));
  exports.Set("fileDirectAlignment", Napi::Function::New(env, fileDirectAlignment));
}

}  // namespace vhost
