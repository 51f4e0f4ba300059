// Programs of devices.
#include <signal.h>
#include <sys/socket.h>

#include <cstring>

#include "../core/child-process.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

// 0 and 1 stand for groups of other processes in kill() and waitpid().
int pidArgument(const Arguments& arguments, size_t index) {
  return static_cast<int>(arguments.integer(index, 2, INT32_MAX));
}

// (command, type, out: Int32Array(3))
Napi::Value start(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto type = static_cast<int>(arguments.integer(1, SOCK_STREAM, SOCK_SEQPACKET));
  const Bytes out = arguments.bytes(2);
  ChildProcess child;
  const int32_t members = 3;
  if (out.length < members * sizeof(int32_t)) {
    throw Napi::TypeError::New(info.Env(), "needs room for three");
  }
  const int result = startChild(arguments.text(0).c_str(), type, &child);
  if (result < 0) return number(info, result);
  const int32_t values[members] = {child.pid, child.pidFd, child.socket};
  std::memcpy(out.data, values, sizeof values);
  return number(info, 0);
}

// (pid, signal)
Napi::Value signalIt(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, signalChild(pidArgument(arguments, 0),
                                  static_cast<int>(arguments.integer(1, 0, SIGRTMAX))));
}

Napi::Value take(const Napi::CallbackInfo& info) {
  return number(info, takeChild(pidArgument(Arguments(info), 0)));
}

}  // namespace

void initChild(Napi::Env env, Napi::Object exports) {
  exports.Set("childStart", Napi::Function::New(env, start));
  exports.Set("childSignal", Napi::Function::New(env, signalIt));
  exports.Set("childTake", Napi::Function::New(env, take));
}

}  // namespace vhost
