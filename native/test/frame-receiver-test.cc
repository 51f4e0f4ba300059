// frame-receiver.cc: one frame over chains that wait.
#include "frame-receiver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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

// The header a tap would give is in front of what is sent.
TEST("a longer header has the hash, wherever frames come from") {
  FrameHash hash{};
  hash.types = kHashIpv4;
  for (size_t i = 0; i < kHashKeyBytes; i++) hash.key[i] = static_cast<uint8_t>(i * 37);
  hash.prepare();
  for (const bool socket : {true, false}) {
    for (const size_t room : {size_t{20}, size_t{100}, size_t{3000}}) {
      const size_t own = socket ? 0 : 12;
      std::vector<uint8_t> frame(own + 200, 7);
      frame[own + 12] = 8;
      frame[own + 13] = 0;
      frame[own + 14] = 0x45;
      if (!socket) std::fill_n(frame.begin(), 12, 9);
      const HashedFrame wanted = hash.hash(frame.data() + own, 200);
      CHECK_EQ(wanted.report, 1u);
      const Chains chains(20, room);
      Pair pair;
      CHECK_EQ(write(pair.ends[1], frame.data(), frame.size()), ssize_t(frame.size()));
      FrameReceiver receiver;
      std::vector<uint32_t> used;
      const FrameSource source{pair.ends[0], socket, true, 20, nullptr, &hash};
      CHECK_EQ(receiver.receive(source, chains, &used).chains, (220 + room - 1) / room);
      const uint8_t* got = chains.memory_.data();
      for (size_t i = 0; i < 10; i++) CHECK_EQ(got[i], socket ? 0 : 9);
      CHECK_EQ(got[10], used.size());
      uint32_t value;
      std::memcpy(&value, got + 12, sizeof value);
      CHECK_EQ(value, wanted.value);
      CHECK_EQ(got[16], 1);
      CHECK_EQ(got[17] | got[18] | got[19], 0);
      CHECK_EQ(std::memcmp(got + 20, frame.data() + own, 200), 0);
    }
  }
}

TEST("a frame goes where its hash says, if there is room") {
  struct Choice : ChainChoice {
    const WaitingChains& chainsFor(const HashedFrame& hashed) override {
      report = hashed.report;
      return *chains;
    }
    const Chains* chains;
    uint32_t report = 99;
  } choice;
  FrameHash hash{};
  for (const size_t room : {size_t{12}, size_t{50}, size_t{3000}}) {
    const Chains waiting(1, 100);
    const Chains chosen(room == 12 ? 10 : 60, room);
    choice.chains = &chosen;
    Pair pair;
    const std::vector<uint8_t> frame(2000, 7);
    CHECK_EQ(write(pair.ends[1], frame.data(), frame.size()), ssize_t(frame.size()));
    FrameReceiver receiver;
    std::vector<uint32_t> used;
    const FrameSource source{pair.ends[0], true, true, 12, nullptr, &hash, &choice};
    const ReceivedFrame got = receiver.receive(source, waiting, &used);
    CHECK_EQ(choice.report, 0u);
    CHECK_EQ(got.chains, room == 12 ? 0 : (2012 + room - 1) / room);
    for (const uint8_t byte : waiting.memory_) CHECK_EQ(byte, 0xcd);
    if (got.chains == 0) continue;
    CHECK_EQ(chosen.memory_[10], got.chains);
    for (size_t i = 12; i < 2012; i++) CHECK_EQ(chosen.memory_[i], 7);
  }
}

}  // namespace
}  // namespace vhost::test
