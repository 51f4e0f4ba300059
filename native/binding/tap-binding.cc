#include "../core/tap.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

Bytes addressAt(const Napi::CallbackInfo& info, size_t index) {
  const Bytes bytes = Arguments(info).bytes(index);
  if (bytes.length != kTapAddressBytes) {
    throw Napi::TypeError::New(info.Env(), "an Ethernet address has six bytes");
  }
  return bytes;
}

// (name, multiQueue, headerBytes) -> descriptor or -errno
Napi::Value open(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, tapOpen(arguments.text(0).c_str(), arguments.boolean(1), arguments.u32(2)));
}

Napi::Value adopt(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, tapAdopt(arguments.fd(0), arguments.u32(1)));
}

Napi::Value setPersistent(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, tapSetPersistent(arguments.fd(0), arguments.boolean(1)));
}

Napi::Value setOffload(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, tapSetOffload(arguments.fd(0), arguments.u32(1)));
}

Napi::Value setQueue(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(info, tapSetQueue(arguments.fd(0), arguments.boolean(1)));
}

// (fd, six bytes) -> 0 or -errno
Napi::Value address(const Napi::CallbackInfo& info) {
  return number(info, tapAddress(Arguments(info).fd(0), addressAt(info, 1).data));
}

Napi::Value setAddress(const Napi::CallbackInfo& info) {
  return number(info, tapSetAddress(Arguments(info).fd(0), addressAt(info, 1).data));
}

}  // namespace

void initTap(Napi::Env env, Napi::Object exports) {
  exports.Set("tapOpen", Napi::Function::New(env, open));
  exports.Set("tapAdopt", Napi::Function::New(env, adopt));
  exports.Set("tapSetPersistent", Napi::Function::New(env, setPersistent));
  exports.Set("tapSetOffload", Napi::Function::New(env, setOffload));
  exports.Set("tapAddress", Napi::Function::New(env, address));
  exports.Set("tapSetAddress", Napi::Function::New(env, setAddress));
  exports.Set("tapSetQueue", Napi::Function::New(env, setQueue));
}

}  // namespace vhost
