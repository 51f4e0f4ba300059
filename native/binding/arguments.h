// Arguments from JavaScript, checked: a wrong one is a TypeError, never a crash (LF-015). And the
// answer most functions give.
#ifndef VHOST_BINDING_ARGUMENTS_H_
#define VHOST_BINDING_ARGUMENTS_H_

#include <napi.h>

#include <cstdint>
#include <string>

namespace vhost {

struct Bytes {
  uint8_t* data;
  size_t length;
};

class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  int64_t integer(size_t index, int64_t min, int64_t max) const;
  int fd(size_t index) const { return static_cast<int>(integer(index, 0, INT32_MAX)); }
  // -1 stands for "none".
  int optionalFd(size_t index) const { return static_cast<int>(integer(index, -1, INT32_MAX)); }
  uint32_t u32(size_t index) const { return static_cast<uint32_t>(integer(index, 0, UINT32_MAX)); }
  uint64_t u64(size_t index) const;  // a BigInt
  bool boolean(size_t index) const;
  std::string text(size_t index) const;
  Napi::Function function(size_t index) const;
  // Any typed array; valid until the call returns. A detached one has length zero.
  Bytes bytes(size_t index) const;
  // bytes(index) and a range [offset, +length) that lies inside it, from the next two arguments.
  Bytes range(size_t index) const;

 private:
  Napi::TypeError wrong(size_t index, const char* expected) const;

  const Napi::CallbackInfo& info_;
};

// What most functions answer: a count, a descriptor or -errno. Exact up to 2^53.
inline Napi::Value number(const Napi::CallbackInfo& info, int64_t value) {
  return Napi::Number::New(info.Env(), static_cast<double>(value));
}

}  // namespace vhost

#endif  // VHOST_BINDING_ARGUMENTS_H_
