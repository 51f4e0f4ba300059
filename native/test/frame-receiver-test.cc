// frame-receiver.cc: one frame over chains that wait.
#include "frame-receiver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

class Chains : public WaitingChains {
 public:
  Chains(size_t count, size_t bytes) : memory_(count * bytes, 0xcd), chains_(count) {
    for (size_t i = 0; i < count; i++) {
      chains_[i].segments.push_back({memory_.data() + i * bytes, bytes});
      chains_[i].writableBytes = static_cast<uint32_t>(bytes);
    }
  }
  const DescriptorChain* at(size_t index) const override {
    return index < chains_.size() ? &chains_[index] : nullptr;
  }
  std::vector<uint8_t> memory_;

 private:
  std::vector<DescriptorChain> chains_;
};

struct Pair {
  Pair() { socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends); }
  ~Pair() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

ReceivedFrame receive(const Chains& chains, size_t bytes, bool merge, std::vector<uint32_t>* used) {
  Pair pair;
  const std::vector<uint8_t> frame(bytes, 7);
  CHECK_EQ(write(pair.ends[1], frame.data(), bytes), static_cast<ssize_t>(bytes));
  FrameReceiver receiver;
  return receiver.receive({pair.ends[0], true, merge, 12}, chains, used);
}

TEST("a frame goes over as many chains as it takes, the first says how many") {
  Chains chains(100, 100);
  std::vector<uint32_t> used;
  const ReceivedFrame got = receive(chains, 5000, true, &used);
  CHECK_EQ(got.result, 5000);
  CHECK_EQ(got.chains, 51u);
  CHECK_EQ(used[50], 12u);
  CHECK_EQ(chains.memory_[10], 51);
  for (size_t i = 12; i < 5012; i++) CHECK_EQ(chains.memory_[i], 7);
  CHECK_EQ(chains.memory_[5012], 0xcd);
}

TEST("a frame without room is dropped") {
  std::vector<uint32_t> used;
  const ReceivedFrame merged = receive(Chains(3, 100), 400, true, &used);
  CHECK_EQ(merged.chains, 0u);
  CHECK_EQ(merged.result, 0);
  const ReceivedFrame single = receive(Chains(3, 100), 89, false, &used);
  CHECK_EQ(single.chains, 0u);
  CHECK_EQ(receive(Chains(3, 100), 88, false, &used).chains, 1u);
}

}  // namespace
}  // namespace vhost::test
