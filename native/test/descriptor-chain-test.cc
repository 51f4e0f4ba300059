#include "descriptor-chain.h"

#include <algorithm>
#include <numeric>

#include "check.h"

namespace vhost::test {
namespace {

// Readable "abcdefgh" in pieces of 3, 4, 1; writable ten bytes in pieces of 2, 8.
struct Fixture {
  Fixture() {
    const size_t readable[] = {3, 4, 1};
    const size_t writable[] = {2, 8};
    uint8_t* at = memory;
    for (const size_t bytes : readable) {
      chain.segments.push_back({at, bytes});
      for (size_t i = 0; i < bytes; i++) at[i] = next++;
      at += bytes + 1;  // a gap nobody may touch
    }
    for (const size_t bytes : writable) {
      chain.segments.push_back({at, bytes});
      at += bytes + 1;
    }
    chain.readableSegments = 3;
    chain.readableBytes = 8;
    chain.writableBytes = 10;
  }

  uint8_t next = 'a';
  uint8_t memory[32] = {};
  DescriptorChain chain;
};

TEST("copyOut reads any part of the readable side, and nothing behind it") {
  for (uint32_t offset = 0; offset <= 10; offset++) {
    for (uint32_t bytes = 0; bytes <= 10; bytes++) {
      Fixture f;
      char out[16] = {};
      const uint32_t there = offset >= 8 ? 0 : std::min(bytes, 8 - offset);
      CHECK_EQ(f.chain.copyOut(offset, out, bytes), there);
      CHECK_EQ(std::string(out), std::string("abcdefgh").substr(std::min(offset, 8u), there));
    }
  }
}

TEST("copyIn writes any part of the writable side, and nothing else") {
  for (uint32_t offset = 0; offset <= 12; offset++) {
    for (uint32_t bytes = 0; bytes <= 12; bytes++) {
      Fixture f;
      Fixture untouched;
      const uint8_t in[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
      const uint32_t there = offset >= 10 ? 0 : std::min(bytes, 10 - offset);
      CHECK_EQ(f.chain.copyIn(offset, in, bytes), there);
      const auto* start = static_cast<uint8_t*>(f.chain.segments[3].iov_base);
      uint32_t sum = 0;
      for (size_t i = 0; i < sizeof f.memory; i++) {
        const bool gap =
            &f.memory[i] < start || &f.memory[i] == start + 2 || &f.memory[i] > start + 10;
        if (gap) CHECK_EQ(f.memory[i], untouched.memory[i]);
        if (!gap) sum += f.memory[i];
      }
      CHECK_EQ(sum, there);
      if (there > 0) CHECK_EQ(offset < 2 ? start[offset] : start[offset + 1], 1);
    }
  }
}

TEST("slice gives the host segments of a part, and says how much of it there is") {
  Fixture f;
  std::vector<iovec> out;
  CHECK_EQ(f.chain.slice(false, 2, 3, &out), 3u);
  CHECK_EQ(out.size(), 2u);
  CHECK_EQ(out[0].iov_base, static_cast<void*>(f.memory + 2));
  CHECK_EQ(out[0].iov_len, 1u);
  CHECK_EQ(out[1].iov_base, static_cast<void*>(f.memory + 4));
  CHECK_EQ(out[1].iov_len, 2u);
  out.clear();
  CHECK_EQ(f.chain.slice(true, 0, UINT64_MAX, &out), 10u);
  CHECK_EQ(out.size(), 2u);
  out.clear();
  CHECK_EQ(f.chain.slice(true, UINT64_MAX, 1, &out), 0u);
  CHECK_EQ(f.chain.slice(false, 8, 1, &out), 0u);  // never over into the writable side
  CHECK(out.empty());
}

TEST("clear empties the chain and gives a large table's memory back") {
  Fixture f;
  f.chain.clear();
  CHECK_EQ(f.chain.readableBytes + f.chain.writableBytes + f.chain.readableSegments, 0u);
  CHECK(f.chain.segments.empty());
  CHECK(f.chain.segments.capacity() > 0);
  f.chain.segments.resize(kSegmentsKept + 1);
  f.chain.clear();
  CHECK(f.chain.segments.capacity() <= kSegmentsKept);
}

}  // namespace
}  // namespace vhost::test
