// What a fuzz target reads its decisions from, and how it says that something is wrong.
#ifndef VHOST_FUZZ_INPUT_H_
#define VHOST_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// Not CHECK: a thrown failure would be caught by nobody, an abort is a finding.
#define REQUIRE(condition)                                                                 \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      std::fprintf(stderr, "%s:%d: REQUIRE(%s) failed\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                        \
    }                                                                                      \
  } while (false)

namespace vhost::fuzz {

// Bytes from the front; zeroes once they are used up.
class Input {
 public:
  Input(const uint8_t* data, size_t bytes) : at_(data), left_(bytes) {}

  bool empty() const { return left_ == 0; }
  uint8_t byte() { return take<uint8_t>(); }
  uint16_t word() { return take<uint16_t>(); }
  uint32_t dword() { return take<uint32_t>(); }
  uint64_t qword() { return take<uint64_t>(); }
  uint32_t below(uint32_t limit) { return byte() % limit; }

 private:
  template <typename T>
  T take() {
    T value = 0;
    const size_t here = left_ < sizeof value ? left_ : sizeof value;
    std::memcpy(&value, at_, here);
    at_ += here;
    left_ -= here;
    return value;
  }

  const uint8_t* at_;
  size_t left_;
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_INPUT_H_
