#include "bindings.h"

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
