// frame-filter.cc: who gets a frame.
#include "frame-filter.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

using Frame = std::array<uint8_t, kFrameFilterBytes>;

// The first byte of an address is the lowest.
constexpr uint64_t kOwn = 0x01'00'00'00'54'52;
constexpr uint64_t kGroup = 0x01'00'00'5e'00'01;

Frame frameTo(const std::array<uint8_t, 6>& to, uint16_t vlan = 0) {
  Frame frame{};
  std::copy(to.begin(), to.end(), frame.begin());
  frame[12] = vlan == 0 ? 0x08 : 0x81;
  frame[14] = static_cast<uint8_t>(0xe0 | vlan >> 8);
  frame[15] = static_cast<uint8_t>(vlan);
  return frame;
}

const Frame kToOwn = frameTo({0x52, 0x54, 0, 0, 0, 1});
const Frame kToOther = frameTo({0x52, 0x54, 0, 0, 0, 2});
const Frame kToGroup = frameTo({0x01, 0x00, 0x5e, 0, 0, 1});
const Frame kToOtherGroup = frameTo({0x01, 0x00, 0x5e, 0, 0, 2});
const Frame kToAll = frameTo({255, 255, 255, 255, 255, 255});

FrameFilter filterWith(uint32_t flags) {
  FrameFilter filter{};
  filter.flags = flags;
  filter.addressCount = 2;
  filter.addresses[0] = kOwn;
  filter.addresses[1] = kGroup;
  return filter;
}

// What of the five passes, a character each.
std::string passing(const FrameFilter& filter) {
  std::string said;
  const std::pair<char, const Frame*> rows[] = {
      {'o', &kToOwn}, {'x', &kToOther}, {'g', &kToGroup}, {'h', &kToOtherGroup}, {'b', &kToAll}};
  for (const auto& [letter, frame] : rows) {
    said += filter.passes(frame->data(), frame->size()) ? letter : '-';
  }
  return said;
}

TEST("each receive mode lets through what it says") {
  FrameFilter table = filterWith(0);
  const std::pair<uint32_t, const char*> rows[] = {
      {0, "o-g-b"},
      {kFilterPromiscuous, "oxghb"},
      {kFilterAllMulticast, "o-ghb"},
      {kFilterAllUnicast, "oxg-b"},
      {kFilterNoMulticast, "o---b"},
      {kFilterNoMulticast | kFilterAllMulticast, "o---b"},
      {kFilterNoUnicast, "--g-b"},
      {kFilterNoBroadcast, "o-g--"},
      {kFilterPromiscuous | kFilterNoBroadcast | kFilterNoUnicast, "oxghb"},
  };
  for (const auto& [flags, expected] : rows) {
    table.flags = flags;
    CHECK_EQ(passing(table), std::string(expected));
  }
}

TEST("a tagged frame needs its VLAN, an untagged one and a priority do not") {
  FrameFilter table = filterWith(kFilterVlans);
  table.vlans[100 / 32] = 1u << 100 % 32;
  const std::array<uint8_t, 6> own = {0x52, 0x54, 0, 0, 0, 1};
  const auto passes = [&](uint16_t vlan) {
    const Frame frame = frameTo(own, vlan);
    return table.passes(frame.data(), frame.size());
  };
  CHECK(passes(100));
  CHECK(!passes(101));
  CHECK(!passes(4095));
  CHECK(table.passes(kToOwn.data(), kToOwn.size()));
  Frame priority = frameTo(own, 1);
  priority[15] = 0;
  CHECK(table.passes(priority.data(), priority.size()));
  table.flags = 0;
  CHECK(passes(101));
}

TEST("a frame cut short and a count that lies are not read beyond (NT-021)") {
  FrameFilter table = filterWith(kFilterVlans);
  const std::vector<uint8_t> stump = {0x52, 0x54, 0, 0, 0};
  CHECK(!table.passes(stump.data(), stump.size()));
  const std::vector<uint8_t> bare(kToOwn.begin(), kToOwn.begin() + 14);
  CHECK(table.passes(bare.data(), bare.size()));
  table.addressCount = UINT32_MAX;
  CHECK(!table.passes(kToOther.data(), kToOther.size()));
}

}  // namespace
}  // namespace vhost::test
