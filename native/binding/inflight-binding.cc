// Inflight areas by number.
#include "../core/inflight-area.h"
#include "arguments.h"
#include "bindings.h"
#include "registry.h"

namespace vhost {
namespace {

Registry<InflightArea> areas;

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
  return number(info, count(arguments, 1) * each);
}

// (packed, queueCount, queueSize) -> descriptor or -errno.
Napi::Value inflightCreate(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  return number(
      info, InflightArea::create(format(arguments, 0), count(arguments, 1), count(arguments, 2)));
}

// (fd, sizeBytes, mmapOffset, queueCount, queueSize) -> number of the area or -errno.
Napi::Value inflightMap(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const InflightDescription description{arguments.u64(1), arguments.u64(2), count(arguments, 3),
                                        count(arguments, 4)};
  int error = 0;
  auto area = InflightArea::map(arguments.fd(0), description, &error);
  return number(info, area == nullptr ? error : areas.add(std::move(area)));
}

Napi::Value inflightRelease(const Napi::CallbackInfo& info) {
  areas.release(Arguments(info).u32(0));
  return info.Env().Undefined();
}

}  // namespace

std::shared_ptr<InflightArea> inflightById(uint32_t id) {
  return areas.get(id);
}

void initInflight(Napi::Env env, Napi::Object exports) {
  exports.Set("inflightBytes", Napi::Function::New(env, inflightBytes));
  exports.Set("inflightCreate", Napi::Function::New(env, inflightCreate));
  exports.Set("inflightMap", Napi::Function::New(env, inflightMap));
  exports.Set("inflightRelease", Napi::Function::New(env, inflightRelease));
}

}  // namespace vhost
