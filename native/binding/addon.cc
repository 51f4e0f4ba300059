// The whole binding as one translation unit: napi.h takes two seconds to read, and fourteen times
// that was half of a first build.
#include "arguments.cc"
#include "bindings.h"
#include "child-binding.cc"
#include "data-plane-binding.cc"
#include "descriptor-binding.cc"
#include "frame-binding.cc"
#include "host-socket-binding.cc"
#include "inflight-binding.cc"
#include "log-binding.cc"
#include "memory-binding.cc"
#include "socket-binding.cc"
#include "tap-binding.cc"
#include "virtqueue-binding.cc"
#include "watcher-binding.cc"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  vhost::initMemory(env, exports);
  vhost::initInflight(env, exports);
  vhost::initLog(env, exports);
  vhost::initDescriptors(env, exports);
  vhost::initSocket(env, exports);
  vhost::initHostSocket(env, exports);
  vhost::initChild(env, exports);
  vhost::initFrame(env, exports);
  vhost::initTap(env, exports);
  vhost::initWatcher(env, exports);
  vhost::initDataPlane(env, exports);
  vhost::initVirtqueue(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(vhost_ts, init)
