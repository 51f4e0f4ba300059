// Sockets of devices. Apart from socket-binding.cc, which is the control plane's: devices never
// see a vhost-user socket.
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "../core/host-socket.h"
#include "../core/unix-socket.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

constexpr int kBacklogMax = 4096;

int socketType(const Arguments& arguments, size_t index) {
  return static_cast<int>(arguments.integer(index, SOCK_STREAM, SOCK_SEQPACKET));
}

uint16_t tcpPort(const Arguments& arguments, size_t index) {
  return static_cast<uint16_t>(arguments.integer(index, 0, UINT16_MAX));
}

// (path, type, backlog)
Napi::Value listenAt(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, hostListen(arguments.text(0).c_str(), socketType(arguments, 1),
                                 static_cast<int>(arguments.integer(2, 1, kBacklogMax))));
}

// (path, type)
Napi::Value connectTo(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, hostConnect(arguments.text(0).c_str(), socketType(arguments, 1)));
}

// (address, port, backlog)
Napi::Value listenAtTcp(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, hostListenTcp(arguments.text(0).c_str(), tcpPort(arguments, 1),
                                    static_cast<int>(arguments.integer(2, 1, kBacklogMax))));
}

// (address, port)
Napi::Value connectToTcp(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, hostConnectTcp(arguments.text(0).c_str(), tcpPort(arguments, 1)));
}

// (port, type, backlog)
Napi::Value listenAtVsock(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, hostListenVsock(arguments.u32(0), socketType(arguments, 1),
                                      static_cast<int>(arguments.integer(2, 1, kBacklogMax))));
}

// (cid, port, type)
Napi::Value connectToVsock(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info,
                hostConnectVsock(arguments.u32(0), arguments.u32(1), socketType(arguments, 2)));
}

// (type, out: Int32Array(2))
Napi::Value pairOf(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int type = socketType(arguments, 0);
  const Bytes out = arguments.bytes(1);
  int32_t ends[2];
  if (out.length < sizeof ends) throw Napi::TypeError::New(info.Env(), "needs room for two");
  const int result = hostPair(type, ends);
  if (result == 0) std::memcpy(out.data, ends, sizeof ends);
  return number(info, result);
}

Napi::Value connected(const Napi::CallbackInfo& info) {
  return number(info, hostConnected(Arguments(info).fd(0)));
}

Napi::Value acceptFrom(const Napi::CallbackInfo& info) {
  return number(info, unixAccept(Arguments(info).fd(0)));
}

// (fd, bytes, offset, length)
Napi::Value sendTo(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes from = arguments.range(1);
  return number(info, hostSend(arguments.fd(0), from.data, from.length));
}

// (fd, bytes, offset, length, peek)
Napi::Value receiveFrom(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes to = arguments.range(1);
  return number(info, hostReceive(arguments.fd(0), to.data, to.length, arguments.boolean(4)));
}

// (fd, how)
Napi::Value shutDown(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto how = static_cast<int>(arguments.integer(1, SHUT_RD, SHUT_RDWR));
  return number(info, shutdown(arguments.fd(0), how) == 0 ? 0 : -errno);
}

// (fd, bytes)
Napi::Value setSendBytes(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(
      info, hostSetSendBytes(arguments.fd(0), static_cast<int>(arguments.integer(1, 1, 1 << 30))));
}

}  // namespace

void initHostSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("hostListen", Napi::Function::New(env, listenAt));
  exports.Set("hostConnect", Napi::Function::New(env, connectTo));
  exports.Set("hostListenTcp", Napi::Function::New(env, listenAtTcp));
  exports.Set("hostConnectTcp", Napi::Function::New(env, connectToTcp));
  exports.Set("hostListenVsock", Napi::Function::New(env, listenAtVsock));
  exports.Set("hostConnectVsock", Napi::Function::New(env, connectToVsock));
  exports.Set("hostPair", Napi::Function::New(env, pairOf));
  exports.Set("hostConnected", Napi::Function::New(env, connected));
  exports.Set("hostAccept", Napi::Function::New(env, acceptFrom));
  exports.Set("hostSend", Napi::Function::New(env, sendTo));
  exports.Set("hostReceive", Napi::Function::New(env, receiveFrom));
  exports.Set("hostShutdown", Napi::Function::New(env, shutDown));
  exports.Set("hostSetSendBytes", Napi::Function::New(env, setSendBytes));
}

}  // namespace vhost
