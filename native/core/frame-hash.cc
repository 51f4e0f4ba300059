#include "frame-hash.h"

#include <algorithm>
#include <cstring>

namespace vhost {
namespace {

constexpr size_t kTypeOffset = 12;
constexpr size_t kTagBytes = 4;
// A service tag and a customer's (IEEE 802.1ad).
constexpr int kTagsMax = 2;
constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint16_t kTypeTag = 0x8100;
constexpr uint16_t kTypeServiceTag = 0x88a8;

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kIpv6AddressBytes = 16;
constexpr size_t kPortsBytes = 4;
constexpr uint16_t kIpv4Fragment = 0x3fff;  // more fragments, or not the first

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kDestination = 60;
// RFC 6275 §6.4 and §6.3: routing header type 2, and the option with the home address.
constexpr uint8_t kRoutingType2 = 2;
constexpr uint8_t kOptionPad1 = 0;
constexpr uint8_t kOptionHomeAddress = 0xc9;
// Nobody sends more; a bound on the walk.
constexpr int kExtensionsMax = 8;

// VIRTIO_NET_HASH_REPORT_* less the kind: kPlain, kTcp, kUdp.
enum ReportFamily : uint32_t { kReportIpv4 = 1, kReportIpv6 = 4, kReportIpv6Ex = 7 };
enum Transport : uint32_t { kPlain = 0, kWithTcp = 1, kWithUdp = 2 };

uint16_t get16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}

// What of a frame is hashed.
struct Flow {
  uint32_t family;  // of its reports; 0: neither IPv4 nor IPv6
  size_t addressBytes;
  const uint8_t* from;
  const uint8_t* to;
  // As the extension headers have them; else the same.
  const uint8_t* home;
  const uint8_t* final;
  const uint8_t* ports = nullptr;  // nullptr: none, or not in this fragment
  Transport transport = kPlain;
  bool extended = false;
};

void findPorts(uint8_t protocol, const uint8_t* at, const uint8_t* end, Flow* flow) {
  if ((protocol != kTcp && protocol != kUdp) || end - at < static_cast<ptrdiff_t>(kPortsBytes)) {
    return;
  }
  flow->ports = at;
  flow->transport = protocol == kTcp ? kWithTcp : kWithUdp;
}

bool findIpv4(const uint8_t* ip, const uint8_t* end, Flow* flow) {
  if (end - ip < static_cast<ptrdiff_t>(kIpv4Bytes) || ip[0] >> 4 != 4) return false;
  const size_t headerBytes = (ip[0] & 0xf) * size_t{4};
  *flow = {kReportIpv4, 4, ip + 12, ip + 16, ip + 12, ip + 16};
  if (headerBytes < kIpv4Bytes || end - ip < static_cast<ptrdiff_t>(headerBytes)) return true;
  if ((get16(ip + 6) & kIpv4Fragment) == 0) findPorts(ip[9], ip + headerBytes, end, flow);
  return true;
}

// The home address among the options of a destination header.
void findHomeAddress(const uint8_t* option, const uint8_t* end, Flow* flow) {
  while (end - option >= 2) {
    const size_t bytes = option[0] == kOptionPad1 ? 1 : option[1] + size_t{2};
    if (end - option < static_cast<ptrdiff_t>(bytes)) return;
    if (option[0] == kOptionHomeAddress && bytes == kIpv6AddressBytes + 2) flow->home = option + 2;
    option += bytes;
  }
}

bool findIpv6(const uint8_t* ip, const uint8_t* end, Flow* flow) {
  if (end - ip < static_cast<ptrdiff_t>(kIpv6Bytes) || ip[0] >> 4 != 6) return false;
  *flow = {kReportIpv6, kIpv6AddressBytes, ip + 8, ip + 24, ip + 8, ip + 24};
  uint8_t protocol = ip[6];
  const uint8_t* at = ip + kIpv6Bytes;
  for (int i = 0; i < kExtensionsMax; i++) {
    const bool known = protocol == kHopByHop || protocol == kRouting || protocol == kDestination;
    if (!known && protocol != kFragment) {
      findPorts(protocol, at, end, flow);
      return true;
    }
    flow->extended = true;
    const size_t bytes = protocol == kFragment || end - at < 2 ? 8 : (at[1] + size_t{1}) * 8;
    // Behind a fragment header no ports can be told.
    if (protocol == kFragment || end - at < static_cast<ptrdiff_t>(bytes)) return true;
    if (protocol == kDestination) findHomeAddress(at + 2, at + bytes, flow);
    if (protocol == kRouting && at[2] == kRoutingType2 && bytes == kIpv6AddressBytes + 8) {
      flow->final = at + 8;
    }
    protocol = at[0];
    at += bytes;
  }
  return true;
}

bool findFlow(const uint8_t* frame, size_t bytes, Flow* flow) {
  size_t type = kTypeOffset;
  for (int tags = 0; tags < kTagsMax && type + kTagBytes + 2 <= bytes; tags++) {
    const uint16_t is = get16(frame + type);
    if (is != kTypeTag && is != kTypeServiceTag) break;
    type += kTagBytes;
  }
  if (type + 2 > bytes) return false;
  const uint8_t* ip = frame + type + 2;
  const uint16_t is = get16(frame + type);
  if (is == kTypeIpv4) return findIpv4(ip, frame + bytes, flow);
  return is == kTypeIpv6 && findIpv6(ip, frame + bytes, flow);
}

// Bits of FrameHash::types for a family, kPlain first.
uint32_t typeBit(uint32_t family, Transport transport) {
  return 1u << (family - 1 + transport);
}

}  // namespace

void FrameHash::prepare() {
  for (size_t half = 0; half < 2 * kHashInputBytes; half++) {
    for (uint32_t bits = 0; bits < 16; bits++) {
      uint32_t sum = 0;
      for (size_t i = 0; i < 4; i++) {
        if (!(bits & 8u >> i)) continue;
        // The 32 bits of the key that begin at this bit of the input.
        const size_t at = half * 4 + i;
        uint64_t window = 0;
        for (size_t byte = 0; byte < 5; byte++) {
          const size_t from = at / 8 + byte;
          window = window << 8 | (from < kHashKeyBytes ? key[from] : 0u);
        }
        sum ^= static_cast<uint32_t>(window >> (8 - at % 8));
      }
      windows[half][bits] = sum;
    }
  }
}

uint32_t FrameHash::toeplitz(const uint8_t* input, size_t bytes) const {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; i++) {
    sum ^= windows[2 * i][input[i] >> 4] ^ windows[2 * i + 1][input[i] & 0xf];
  }
  return sum;
}

// The most telling of the types the driver chose: of IPv6 with extension headers those that heed
// them before all others, and ports before none.
HashedFrame FrameHash::hash(const uint8_t* frame, size_t bytes) const {
  Flow flow;
  if (types == 0 || !findFlow(frame, std::min(bytes, kHashedFrameBytes), &flow)) return {};
  for (const bool extended : {true, false}) {
    if (extended && !flow.extended) continue;
    const uint32_t family = extended ? kReportIpv6Ex : flow.family;
    for (const Transport transport : {flow.transport, kPlain}) {
      if (!(types & typeBit(family, transport))) continue;
      uint8_t input[kHashInputBytes];
      std::memcpy(input, extended ? flow.home : flow.from, flow.addressBytes);
      std::memcpy(input + flow.addressBytes, extended ? flow.final : flow.to, flow.addressBytes);
      const size_t portsBytes = transport == kPlain ? 0 : kPortsBytes;
      if (portsBytes > 0) std::memcpy(input + 2 * flow.addressBytes, flow.ports, portsBytes);
      return {toeplitz(input, 2 * flow.addressBytes + portsBytes), family + transport};
    }
  }
  return {};
}

uint32_t FrameHash::queueOf(const HashedFrame& hashed) const {
  if (hashed.report == 0) return unclassified;
  return queues[hashed.value & mask & (kHashQueuesMax - 1)];
}

}  // namespace vhost
