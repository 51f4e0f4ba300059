// Readiness of a descriptor on Node's own event loop, for the control plane.
#include <uv.h>

#include <cerrno>

#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

class Watcher : public Napi::ObjectWrap<Watcher> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("Watcher", DefineClass(env, "Watcher",
                                       {InstanceMethod<&Watcher::watch>("watch"),
                                        InstanceMethod<&Watcher::close>("close")}));
  }

  // (fd, callback(events)): events bit 0 readable or closed by the peer, bit 1 writable.
  explicit Watcher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Watcher>(info) {
    const Arguments arguments(info);
    const int fd = arguments.fd(0);
    const Napi::Function callback = arguments.function(1);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(info.Env(), &loop);
    auto* state = new State();
    const int result = uv_poll_init(loop, &state->poll, fd);
    if (result != 0) {
      delete state;
      throw Napi::Error::New(info.Env(), uv_strerror(result));
    }
    state->poll.data = state;
    state->context = std::make_unique<Napi::AsyncContext>(info.Env(), "vhost-ts:watcher");
    state->callback = Napi::Persistent(callback);
    state_ = state;
  }

  // At the end of the environment this comes before libuv lets go of the handle, and an async
  // context can't be destroyed after its environment.
  ~Watcher() override {
    if (state_ != nullptr) state_->context.reset();
    end();
  }

 private:
  // Lives until libuv has let go of the handle, which may be after the object is collected.
  struct State {
    uv_poll_t poll{};
    Napi::FunctionReference callback;
    std::unique_ptr<Napi::AsyncContext> context;
  };

  static void onReady(uv_poll_t* poll, int status, int events) {
    auto* state = static_cast<State*>(poll->data);
    Napi::Env env = state->callback.Env();
    Napi::HandleScope scope(env);
    // An error on the descriptor is found by the next read; it only has to happen.
    const int seen = status < 0 ? 1
                                : ((events & (UV_READABLE | UV_DISCONNECT)) ? 1 : 0) |
                                      ((events & UV_WRITABLE) ? 2 : 0);
    state->callback.MakeCallback(env.Global(), {Napi::Number::New(env, seen)}, *state->context);
  }

  // (events): 0 pauses.
  Napi::Value watch(const Napi::CallbackInfo& info) {
    const int64_t wanted = Arguments(info).integer(0, 0, 3);
    if (state_ == nullptr) throw Napi::TypeError::New(info.Env(), "the watcher is closed");
    const int events =
        ((wanted & 1) ? UV_READABLE | UV_DISCONNECT : 0) | ((wanted & 2) ? UV_WRITABLE : 0);
    const int result =
        events == 0 ? uv_poll_stop(&state_->poll) : uv_poll_start(&state_->poll, events, onReady);
    return number(info, result);
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    end();
    return info.Env().Undefined();
  }

  void end() {
    if (state_ == nullptr) return;
    uv_poll_stop(&state_->poll);
    state_->callback.Reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&state_->poll),
             [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
    state_ = nullptr;
  }

  State* state_ = nullptr;
};

}  // namespace

void initWatcher(Napi::Env env, Napi::Object exports) {
  Watcher::define(env, exports);
}

}  // namespace vhost
