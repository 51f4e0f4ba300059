// scattered-receive.cc: one receive over chains that wait, a prefix in front of each part.
#include "scattered-receive.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "check.h"
#include "operation.h"

namespace vhost::test {
namespace {

constexpr uint32_t kPrefixBytes = 12;
constexpr uint32_t kLengthAt = 4;
constexpr uint8_t kUntouched = 0xcd;

struct Pair {
  explicit Pair(int type = SOCK_STREAM) { socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends); }
  ~Pair() {
    close(ends[0]);
    close(ends[1]);
  }
  void say(size_t bytes) {
    std::vector<uint8_t> text(bytes);
    for (size_t i = 0; i < bytes; i++) text[i] = static_cast<uint8_t>(i % 100 + 1);
    CHECK_EQ(write(ends[1], text.data(), bytes), static_cast<ssize_t>(bytes));
  }
  int ends[2];
};

// Chains of pieces each, one behind the other in memory.
class Chains {
 public:
  Chains(size_t count, size_t bytes, size_t pieces = 1)
      : memory(count * bytes, kUntouched), chains_(count) {
    for (size_t i = 0; i < count; i++) {
      for (size_t k = 0; k < pieces; k++) {
        const size_t piece = bytes / pieces;
        chains_[i].segments.push_back({memory.data() + i * bytes + k * piece, piece});
      }
      chains_[i].writableBytes = static_cast<uint32_t>(bytes);
      list.push_back(&chains_[i]);
    }
  }
  uint32_t lengthOf(size_t chain, size_t bytes) const {
    uint32_t length;
    std::memcpy(&length, memory.data() + chain * bytes + kLengthAt, sizeof(length));
    return length;
  }
  std::vector<uint8_t> memory;
  std::vector<const DescriptorChain*> list;

 private:
  std::vector<DescriptorChain> chains_;
};

int64_t receive(Pair* pair, const Chains& chains, uint64_t bytes, bool whole = false) {
  const std::vector<uint8_t> header(kPrefixBytes, 9);
  std::vector<iovec> scratch;
  return receiveScattered(pair->ends[0], chains.list, bytes,
                          {header.data(), kPrefixBytes, kLengthAt}, whole, &scratch);
}

TEST("full chains first, each with the length of its part, the rest untouched") {
  Pair pair;
  Chains chains(4, 112, 2);
  pair.say(250);
  CHECK_EQ(receive(&pair, chains, 1000), 250);
  const uint32_t lengths[] = {100, 100, 50};
  size_t position = 0;
  for (size_t i = 0; i < 3; i++) {
    const uint8_t* at = chains.memory.data() + i * 112;
    CHECK_EQ(at[0], 9);
    CHECK_EQ(at[kPrefixBytes - 1], 9);
    CHECK_EQ(chains.lengthOf(i, 112), lengths[i]);
    for (size_t k = 0; k < lengths[i]; k++) {
      CHECK_EQ(at[kPrefixBytes + k], static_cast<uint8_t>(position++ % 100 + 1));
    }
  }
  CHECK_EQ(chains.memory[2 * 112 + kPrefixBytes + 50], kUntouched);
  for (size_t k = 0; k < 112; k++) CHECK_EQ(chains.memory[3 * 112 + k], kUntouched);
}

TEST("no more than asked for") {
  Pair pair;
  Chains chains(4, 112);
  pair.say(250);
  CHECK_EQ(receive(&pair, chains, 130), 130);
  CHECK_EQ(chains.lengthOf(1, 112), 30u);
  CHECK_EQ(receive(&pair, chains, 1000), 120);
}

TEST("an empty socket writes nothing, an ended one is 0") {
  Pair pair;
  Chains chains(1, 112);
  CHECK_EQ(receive(&pair, chains, 100), -EAGAIN);
  shutdown(pair.ends[1], SHUT_WR);
  CHECK_EQ(receive(&pair, chains, 100), 0);
  CHECK_EQ(chains.memory[0], kUntouched);
}

TEST("what makes no sense is refused before anything is read") {
  Pair pair;
  pair.say(10);
  const Chains tight(1, kPrefixBytes);
  CHECK_EQ(receive(&pair, tight, 100), -EINVAL);
  CHECK_EQ(receive(&pair, Chains(0, 112), 100), -EINVAL);
  CHECK_EQ(receive(&pair, Chains(1, 112), 0), -EINVAL);
  const uint8_t header[kPrefixBytes] = {};
  const Chains chains(1, 112);
  std::vector<iovec> scratch;
  CHECK_EQ(receiveScattered(pair.ends[0], chains.list, 10, {header, 12, 9}, false, &scratch),
           -EINVAL);
  CHECK_EQ(receiveScattered(pair.ends[0], chains.list, 10, {header, 65, 4}, false, &scratch),
           -EINVAL);
  CHECK_EQ(receive(&pair, chains, 100), 10);
}

TEST("as many chains as one system call takes") {
  Pair pair;
  const size_t count = kSegmentsPerAttemptMax + 10;
  Chains chains(count, 20);
  pair.say(8 * count);
  CHECK_EQ(receive(&pair, chains, 8 * count), static_cast<int64_t>(8 * kSegmentsPerAttemptMax));
  CHECK_EQ(receive(&pair, chains, 8 * count), 80);
}

TEST("a message goes in whole, or stays where it is") {
  Pair pair(SOCK_SEQPACKET);
  pair.say(250);
  const Chains few(2, 112);
  CHECK_EQ(receive(&pair, few, 250, true), -EMSGSIZE);
  CHECK_EQ(few.memory[0], kUntouched);
  const Chains pieces(2, kPrefixBytes + 600, kPrefixBytes + 600);
  CHECK_EQ(receive(&pair, pieces, 1200, true), -EMSGSIZE);
  const Chains enough(3, 112);
  CHECK_EQ(receive(&pair, enough, 250, true), 250);
  CHECK_EQ(enough.lengthOf(2, 112), 50u);
}

}  // namespace
}  // namespace vhost::test
