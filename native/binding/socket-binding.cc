#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/unix-socket.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

Napi::Value socketListen(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(
      info, unixListen(arguments.text(0).c_str(), static_cast<int>(arguments.integer(1, 1, 4096))));
}

Napi::Value socketConnect(const Napi::CallbackInfo& info) {
  return number(info, unixConnect(Arguments(info).text(0).c_str()));
}

Napi::Value socketAccept(const Napi::CallbackInfo& info) {
  return number(info, unixAccept(Arguments(info).fd(0)));
}

// (Int32Array(2)) -> 0 or -errno.
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  const Bytes out = Arguments(info).bytes(0);
  int pair[2];
  if (out.length < sizeof pair) throw Napi::TypeError::New(info.Env(), "needs room for two");
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    return number(info, -errno);
  }
  std::memcpy(out.data, pair, sizeof pair);
  return number(info, 0);
}

// (fd, bytes, offset, length, fds: Int32Array) -> bytes or -errno. fds[0] = how many descriptors
// came, fds[1] = 1 when some were lost, the descriptors from fds[2]. Those without room are closed
// and count as lost.
Napi::Value socketReceive(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes to = arguments.range(1);
  const Bytes out = arguments.bytes(4);
  constexpr size_t kHeadInts = 2;
  if (out.length < kHeadInts * sizeof(int)) {
    throw Napi::TypeError::New(info.Env(), "no room for descriptors");
  }
  ReceivedFds received;
  const int64_t got = unixReceive(arguments.fd(0), to.data, to.length, &received);
  const size_t room = out.length / sizeof(int) - kHeadInts;
  const size_t kept = std::min(room, received.count);
  for (size_t i = kept; i < received.count; i++) close(received.fds[i]);
  const int head[kHeadInts] = {static_cast<int>(kept),
                               received.truncated || kept < received.count ? 1 : 0};
  std::memcpy(out.data, head, sizeof head);
  std::memcpy(out.data + sizeof head, received.fds, kept * sizeof(int));
  return number(info, got);
}

// (fd, bytes, offset, length, fds: Int32Array, fdCount) -> bytes or -errno.
Napi::Value socketSend(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes from = arguments.range(1);
  const Bytes fds = arguments.bytes(4);
  const auto count =
      static_cast<size_t>(arguments.integer(5, 0, static_cast<int64_t>(fds.length / sizeof(int))));
  return number(info, unixSend(arguments.fd(0), from.data, from.length,
                               reinterpret_cast<const int*>(fds.data), count));
}

Napi::Value bindDatagrams(const Napi::CallbackInfo& info) {
  return number(info, datagramBind(Arguments(info).text(0).c_str()));
}

Napi::Value connectDatagrams(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, datagramConnect(arguments.fd(0), arguments.text(1).c_str()));
}

Napi::Value socketShutdown(const Napi::CallbackInfo& info) {
  return number(info, shutdown(Arguments(info).fd(0), SHUT_RDWR) == 0 ? 0 : -errno);
}

Napi::Value socketIsListening(const Napi::CallbackInfo& info) {
  return number(info, unixIsListening(Arguments(info).fd(0)));
}

}  // namespace

void initSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("socketListen", Napi::Function::New(env, socketListen));
  exports.Set("socketConnect", Napi::Function::New(env, socketConnect));
  exports.Set("socketAccept", Napi::Function::New(env, socketAccept));
  exports.Set("socketPair", Napi::Function::New(env, socketPair));
  exports.Set("socketReceive", Napi::Function::New(env, socketReceive));
  exports.Set("socketSend", Napi::Function::New(env, socketSend));
  exports.Set("datagramBind", Napi::Function::New(env, bindDatagrams));
  exports.Set("datagramConnect", Napi::Function::New(env, connectDatagrams));
  exports.Set("socketShutdown", Napi::Function::New(env, socketShutdown));
  exports.Set("socketIsListening", Napi::Function::New(env, socketIsListening));
}

}  // namespace vhost
