// Frames in private memory.
#include "../core/frame-filter.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

// (table, frame, offset, length) -> boolean
Napi::Value passes(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Bytes table = arguments.bytes(0);
  const Bytes frame = arguments.range(1);
  if (table.length != sizeof(FrameFilter) ||
      reinterpret_cast<uintptr_t>(table.data) % alignof(FrameFilter) != 0) {
    throw Napi::TypeError::New(info.Env(), "no table of a frame filter");
  }
  const auto* filter = reinterpret_cast<const FrameFilter*>(table.data);
  return Napi::Boolean::New(info.Env(), filter->passes(frame.data, frame.length));
}

}  // namespace

void initFrame(Napi::Env env, Napi::Object exports) {
  exports.Set("framePasses", Napi::Function::New(env, passes));
}

}  // namespace vhost
