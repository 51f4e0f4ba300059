// The parts of the addon, each in a file of its own.
#ifndef VHOST_BINDING_BINDINGS_H_
#define VHOST_BINDING_BINDINGS_H_

#include <napi.h>

#include <memory>

#include "../core/dirty-log.h"
#include "../core/guest-memory.h"
#include "../core/inflight-area.h"

namespace vhost {

// nullptr for 0, and for one that was released.
std::shared_ptr<GuestMemory> memoryById(uint32_t id);
std::shared_ptr<InflightArea> inflightById(uint32_t id);
std::shared_ptr<const DirtyLog> logById(uint32_t id);

void initMemory(Napi::Env env, Napi::Object exports);
void initInflight(Napi::Env env, Napi::Object exports);
void initLog(Napi::Env env, Napi::Object exports);
void initDescriptors(Napi::Env env, Napi::Object exports);
void initSocket(Napi::Env env, Napi::Object exports);
void initHostSocket(Napi::Env env, Napi::Object exports);
void initChild(Napi::Env env, Napi::Object exports);
void initDataPlane(Napi::Env env, Napi::Object exports);
void initVirtqueue(Napi::Env env, Napi::Object exports);
void initFrame(Napi::Env env, Napi::Object exports);
void initTap(Napi::Env env, Napi::Object exports);
void initWatcher(Napi::Env env, Napi::Object exports);

}  // namespace vhost

#endif  // VHOST_BINDING_BINDINGS_H_
