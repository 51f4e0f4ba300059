// What makes a function of bytes a fuzz target: libFuzzer's entry, or, built with
// VHOST_FUZZ_REPLAY, one of many in the program that replays the corpora (replay-main.cc).
#ifndef VHOST_FUZZ_TARGET_H_
#define VHOST_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>

namespace vhost::fuzz {

using TargetFunction = void (*)(const uint8_t* data, size_t bytes);

struct TargetRegistration {
  TargetRegistration(const char* file, TargetFunction run);
};

}  // namespace vhost::fuzz

#ifdef VHOST_FUZZ_REPLAY
#define FUZZ_TARGET(function) \
  static const ::vhost::fuzz::TargetRegistration registration(__FILE__, function)
#else
#define FUZZ_TARGET(function)                                                \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) { \
    function(data, bytes);                                                   \
    return 0;                                                                \
  }                                                                          \
  static_assert(true)
#endif

#endif  // VHOST_FUZZ_TARGET_H_
