// Guest memories by number, and what the front-end side shares.
#include <sys/mman.h>

#include "../core/guest-memory.h"
#include "../core/postcopy.h"
#include "arguments.h"
#include "bindings.h"
#include "registry.h"

namespace vhost {
namespace {

Registry<GuestMemory> memories;

std::shared_ptr<GuestMemory> memoryOf(const Napi::CallbackInfo& info, size_t index) {
  auto memory = memoryById(Arguments(info).u32(index));
  if (memory == nullptr) throw Napi::TypeError::New(info.Env(), "no guest memory of that number");
  return memory;
}

RegionDescription description(const Arguments& arguments, size_t first) {
  return {arguments.u64(first), arguments.u64(first + 1), arguments.u64(first + 2),
          arguments.u64(first + 3)};
}

Napi::Value memoryCreate(const Napi::CallbackInfo& info) {
  return number(info, memories.add(std::make_shared<GuestMemory>()));
}

// (memory, fd, guestAddress, userAddress, sizeBytes, mmapOffset) -> new memory or -errno.
Napi::Value memoryWith(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  int error = 0;
  auto next = memoryOf(info, 0)->with(arguments.fd(1), description(arguments, 2), &error);
  return number(info, next == nullptr ? error : memories.add(next));
}

// (memory, guestAddress, userAddress, sizeBytes, mmapOffset) -> new memory or -ENOENT.
Napi::Value memoryWithout(const Napi::CallbackInfo& info) {
  auto next = memoryOf(info, 0)->without(description(Arguments(info), 1));
  return number(info, next == nullptr ? -ENOENT : memories.add(next));
}

// (memory, iova, sizeBytes, target, permissions, targetIsGuest) -> a memory that knows the
// translation; 0: it did already; -EINVAL (empty, or addresses that wrap), -EFAULT (leads outside).
Napi::Value memoryWithTranslation(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto memory = memoryOf(info, 0);
  const uint64_t first = arguments.u64(1);
  const uint64_t bytes = arguments.u64(2);
  const uint64_t target = arguments.u64(3);
  const auto permissions =
      static_cast<uint8_t>(arguments.integer(4, kIotlbRead, kIotlbRead | kIotlbWrite));
  const auto answer = [&](double value) { return number(info, value); };
  const uint64_t last = first + (bytes - 1);
  if (bytes == 0 || last < first || target + bytes < target) return answer(-EINVAL);
  std::vector<iovec> pieces;
  const bool inside = arguments.boolean(5) ? memory->translate(target, bytes, &pieces)
                                           : memory->translateUser(target, bytes, &pieces);
  if (!inside) return answer(-EFAULT);
  const IotlbEntry entry{{first, last}, target, permissions};
  if (memory->iotlb().says(entry)) return answer(0);
  return answer(memories.add(memory->withIotlb(memory->iotlb().with(entry))));
}

// (memory, first, last) -> a memory without translations of that range.
Napi::Value memoryWithoutTranslations(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto memory = memoryOf(info, 0);
  const IoRange range{arguments.u64(1), arguments.u64(2)};
  return number(info, memories.add(memory->withIotlb(memory->iotlb().without(range))));
}

// (memory, guestAddress) -> where the region of that guest address is in this process; 0n: none.
// For the front-end, which gets page faults by these addresses (vhost-user: POSTCOPY_LISTEN).
Napi::Value memoryHostAddress(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  std::vector<iovec> pieces;
  const bool found = memoryOf(info, 0)->translate(arguments.u64(1), 1, &pieces);
  const auto address = found ? reinterpret_cast<uintptr_t>(pieces[0].iov_base) : 0;
  return Napi::BigInt::New(info.Env(), uint64_t{address});
}

Napi::Value userfaultCreate(const Napi::CallbackInfo& info) {
  return number(info, createUserfault());
}

// (fd, memory) -> 0 or -errno.
Napi::Value userfaultRegister(const Napi::CallbackInfo& info) {
  return number(info, registerUserfault(Arguments(info).fd(0), *memoryOf(info, 1)));
}

Napi::Value userfaultUnregister(const Napi::CallbackInfo& info) {
  unregisterUserfault(Arguments(info).fd(0), *memoryOf(info, 1));
  return info.Env().Undefined();
}

Napi::Value memoryRelease(const Napi::CallbackInfo& info) {
  memories.release(Arguments(info).u32(0));
  return info.Env().Undefined();
}

Napi::Value memoryRegionCount(const Napi::CallbackInfo& info) {
  return number(info, memoryOf(info, 0)->regionCount());
}

// (memory, userAddress, bytes): does one region hold the range?
Napi::Value memoryHoldsUser(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto memory = memoryOf(info, 0);
  return Napi::Boolean::New(info.Env(),
                            memory->userToHost(arguments.u64(1), arguments.u64(2)) != nullptr);
}

struct SharedMapping {
  void* base;
  size_t bytes;
};

void unmapShared(napi_env, void*, void* hint) {
  auto* mapping = static_cast<SharedMapping*>(hint);
  munmap(mapping->base, mapping->bytes);
  delete mapping;
}

// (fd, offset, bytes) -> ArrayBuffer over the file's pages, or -errno. For the front-end side,
// which owns the memory it shares; the back-end never shows guest memory to JavaScript.
Napi::Value mapShared(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  // Node 20 makes no larger external ArrayBuffer, and aborts when asked through the C++ wrapper.
  constexpr int64_t kArrayBufferBytesMax = int64_t{1} << 32;
  const auto bytes = static_cast<size_t>(arguments.integer(2, 1, kArrayBufferBytesMax));
  const auto offset = static_cast<off_t>(arguments.integer(1, 0, int64_t{1} << 52));
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arguments.fd(0), offset);
  if (base == MAP_FAILED) return number(info, -errno);
  auto* mapping = new SharedMapping{base, bytes};
  napi_value result;
  if (napi_create_external_arraybuffer(info.Env(), base, bytes, unmapShared, mapping, &result) !=
      napi_ok) {
    unmapShared(nullptr, nullptr, mapping);
    throw Napi::Error::New(info.Env(), "no ArrayBuffer over shared memory");
  }
  return Napi::Value(info.Env(), result);
}

}  // namespace

std::shared_ptr<GuestMemory> memoryById(uint32_t id) {
  return memories.get(id);
}

void initMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("memoryCreate", Napi::Function::New(env, memoryCreate));
  exports.Set("memoryWith", Napi::Function::New(env, memoryWith));
  exports.Set("memoryWithout", Napi::Function::New(env, memoryWithout));
  exports.Set("memoryWithTranslation", Napi::Function::New(env, memoryWithTranslation));
  exports.Set("memoryWithoutTranslations", Napi::Function::New(env, memoryWithoutTranslations));
  exports.Set("memoryHostAddress", Napi::Function::New(env, memoryHostAddress));
  exports.Set("userfaultCreate", Napi::Function::New(env, userfaultCreate));
  exports.Set("userfaultRegister", Napi::Function::New(env, userfaultRegister));
  exports.Set("userfaultUnregister", Napi::Function::New(env, userfaultUnregister));
  exports.Set("memoryRelease", Napi::Function::New(env, memoryRelease));
  exports.Set("memoryRegionCount", Napi::Function::New(env, memoryRegionCount));
  exports.Set("memoryHoldsUser", Napi::Function::New(env, memoryHoldsUser));
  exports.Set("mapShared", Napi::Function::New(env, mapShared));
}

}  // namespace vhost
