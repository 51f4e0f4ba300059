// Inflight areas by number, as guest memories are: each number is one owner, and workers hold the
// area itself while they record in it.
#include <mutex>
#include <unordered_map>

#include "../core/inflight-area.h"
#include "arguments.h"
#include "bindings.h"

namespace vhost {
namespace {

std::mutex registryMutex;
std::unordered_map<uint32_t, std::shared_ptr<InflightArea>> registry;
uint32_t nextId = 1;

InflightFormat format(const Arguments& arguments, size_t index) {
  return arguments.boolean(index) ? InflightFormat::kPacked : InflightFormat::kSplit;
}

uint16_t count(const Arguments& arguments, size_t index) {
  return static_cast<uint16_t>(arguments.integer(index, 0, UINT16_MAX));
}

// (packed, queueCount, queueSize) -> bytes.
Napi::Value inflightBytes(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const uint64_t each = InflightArea::queueBytes(format(arguments, 0), count(arguments, 2));
  return Napi::Number::New(info.Env(), static_cast<double>(count(arguments, 1) * each));
}

// (packed, queueCount, queueSize) -> descriptor or -errno.
Napi::Value inflightCreate(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return Napi::Number::New(
      info.Env(),
      InflightArea::create(format(arguments, 0), count(arguments, 1), count(arguments, 2)));
}

// (fd, sizeBytes, mmapOffset, queueCount, queueSize) -> number of the area or -errno.
Napi::Value inflightMap(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const InflightDescription description{arguments.u64(1), arguments.u64(2), count(arguments, 3),
                                        count(arguments, 4)};
  int error = 0;
  auto area = InflightArea::map(arguments.fd(0), description, &error);
  if (area == nullptr) return Napi::Number::New(info.Env(), error);
  std::lock_guard<std::mutex> lock(registryMutex);
  const uint32_t id = nextId++;
  registry[id] = std::move(area);
  return Napi::Number::New(info.Env(), id);
}

Napi::Value inflightRelease(const Napi::CallbackInfo& info) {
  const uint32_t id = Arguments(info).u32(0);
  std::shared_ptr<InflightArea> last;  // unmapped outside the lock
  std::lock_guard<std::mutex> lock(registryMutex);
  const auto place = registry.find(id);
  if (place == registry.end()) return info.Env().Undefined();
  last = std::move(place->second);
  registry.erase(place);
  return info.Env().Undefined();
}

}  // namespace

std::shared_ptr<InflightArea> inflightById(uint32_t id) {
  std::lock_guard<std::mutex> lock(registryMutex);
  const auto place = registry.find(id);
  return place == registry.end() ? nullptr : place->second;
}

void initInflight(Napi::Env env, Napi::Object exports) {
  exports.Set("inflightBytes", Napi::Function::New(env, inflightBytes));
  exports.Set("inflightCreate", Napi::Function::New(env, inflightCreate));
  exports.Set("inflightMap", Napi::Function::New(env, inflightMap));
  exports.Set("inflightRelease", Napi::Function::New(env, inflightRelease));
}

}  // namespace vhost
