// Frames of any length into waiting chains of any shape: every byte where it belongs, none beside.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "frame-receiver.h"
#include "input.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

constexpr uint32_t kHeaderBytes = 12;
constexpr uint64_t kNumBuffersOffset = 10;
constexpr uint8_t kUntouched = 0xcd;
constexpr size_t kLongBytes = 40000;  // more than the longest frame there is

struct Ends {
  Ends() {
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const int room = 1 << 20;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  }
  int ends[2];
};

// Each segment is an allocation of its own, so AddressSanitizer sees its ends.
class Chains : public WaitingChains {
 public:
  explicit Chains(Input* input) : chains_(input->below(12)) {
    for (DescriptorChain& chain : chains_) {
      if (input->byte() & 1) addSegment(&chain, input->byte(), false);
      for (uint32_t i = input->below(6); i > 0; i--) addSegment(&chain, length(input), true);
    }
  }
  // As the data plane has it: none shorter than a header.
  const DescriptorChain* at(size_t index) const override {
    if (index >= chains_.size() || chains_[index].writableBytes < kHeaderBytes) return nullptr;
    return &chains_[index];
  }
  // All that could be written, one after another.
  std::vector<uint8_t> content(size_t chains) const {
    std::vector<uint8_t> all;
    for (size_t i = 0; i < chains; i++) {
      const DescriptorChain& chain = chains_[i];
      for (size_t s = chain.readableSegments; s < chain.segments.size(); s++) {
        const auto* from = static_cast<const uint8_t*>(chain.segments[s].iov_base);
        all.insert(all.end(), from, from + chain.segments[s].iov_len);
      }
    }
    return all;
  }

 private:
  // Mostly short: what is long costs as long as a hundred that are not.
  static uint32_t length(Input* input) {
    const uint8_t how = input->byte();
    if (how & 1) return input->byte();
    return input->word() & (how & 0x1e ? 0x7ff : 0x7fff);
  }

  void addSegment(DescriptorChain* chain, uint32_t bytes, bool writable) {
    if (bytes == 0) return;
    memory_.push_back(std::make_unique<uint8_t[]>(bytes));
    std::fill_n(memory_.back().get(), bytes, kUntouched);
    chain->segments.push_back({memory_.back().get(), bytes});
    (writable ? chain->writableBytes : chain->readableBytes) += bytes;
    if (!writable) chain->readableSegments++;
  }

  std::vector<DescriptorChain> chains_;
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
};

// Such that a byte in another's place is seen.
std::vector<uint8_t> content(size_t seed, size_t bytes) {
  static const std::vector<uint8_t> pattern = [] {
    std::vector<uint8_t> made(UINT8_MAX + kLongBytes + UINT16_MAX);
    for (size_t i = 0; i < made.size(); i++) made[i] = static_cast<uint8_t>(i * 7 + (i >> 8));
    return made;
  }();
  const auto from = pattern.begin() + static_cast<ptrdiff_t>(seed);
  return {from, from + static_cast<ptrdiff_t>(bytes)};
}

// total: bytes of header and frame; those before `gap` are zeroes the receiver has put there.
void verify(const std::vector<uint8_t>& content, const std::vector<uint8_t>& frame, uint64_t gap,
            uint32_t chains) {
  const uint64_t total = gap + frame.size();
  REQUIRE(total <= content.size());
  std::vector<uint8_t> expected(gap);
  expected.insert(expected.end(), frame.begin(), frame.end());
  expected[kNumBuffersOffset] = static_cast<uint8_t>(chains);
  expected[kNumBuffersOffset + 1] = static_cast<uint8_t>(chains >> 8);
  REQUIRE(std::equal(expected.begin(), expected.end(), content.begin()));
}

void run(const uint8_t* data, size_t bytes) {
  Input input(data, bytes);
  static const Ends ends;
  FrameReceiver receiver;
  for (uint32_t frames = 1 + input.below(4); frames > 0; frames--) {
    const uint8_t how = input.byte();
    const FrameSource source{ends.ends[0], (how & 1) != 0, (how & 2) != 0, kHeaderBytes};
    const size_t least = (how & 0x78) == 0x78 ? kLongBytes : 0;
    const size_t frameBytes = least + ((how & 4) ? input.word() : input.byte());
    const std::vector<uint8_t> frame = content(how, frameBytes);
    const bool sent = !frame.empty() && write(ends.ends[1], frame.data(), frame.size()) ==
                                            static_cast<ssize_t>(frame.size());
    const Chains chains(&input);
    std::vector<uint32_t> used;
    const ReceivedFrame got = receiver.receive(source, chains, &used);
    if (!sent || chains.at(0) == nullptr) {
      REQUIRE(got.result < 0 && got.chains == 0);
      uint8_t rest;
      while (read(ends.ends[0], &rest, 1) >= 0) {
      }
      continue;
    }
    REQUIRE(got.result >= 0);
    if (got.chains == 0) continue;
    REQUIRE(used.size() == got.chains);
    const uint64_t gap = source.socket ? kHeaderBytes : 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < got.chains; i++) {
      REQUIRE(used[i] <= chains.at(i)->writableBytes);
      sum += used[i];
    }
    REQUIRE(sum == gap + frame.size());
    REQUIRE(source.merge || got.chains == 1);
    verify(chains.content(got.chains), frame, gap, got.chains);
  }
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
