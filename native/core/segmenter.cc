#include "segmenter.h"

#include <algorithm>
#include <cstring>

namespace vhost {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kTagBytes = 4;
// A service tag and a customer's (IEEE 802.1ad).
constexpr int kTagsMax = 2;
constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint16_t kTypeTag = 0x8100;
constexpr uint16_t kTypeServiceTag = 0x88a8;

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv4LengthOffset = 2;
constexpr size_t kIpv4IdOffset = 4;
constexpr size_t kIpv4FragmentOffset = 6;
constexpr size_t kIpv4ProtocolOffset = 9;
constexpr size_t kIpv4ChecksumOffset = 10;
constexpr size_t kIpv4AddressesOffset = 12;
constexpr uint16_t kFragmentMask = 0x3fff;  // more fragments, and where this one belongs

constexpr size_t kIpv6Bytes = 40;
constexpr size_t kIpv6LengthOffset = 4;
constexpr size_t kIpv6NextOffset = 6;
constexpr size_t kIpv6AddressesOffset = 8;
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kDestination = 60;
// Nobody sends more; a bound on the walk.
constexpr int kExtensionsMax = 8;

constexpr uint8_t kProtocolTcp = 6;
constexpr uint8_t kProtocolUdp = 17;
constexpr size_t kTcpBytes = 20;
constexpr size_t kTcpSequenceOffset = 4;
constexpr size_t kTcpFlagsOffset = 13;
constexpr size_t kTcpChecksumOffset = 16;
constexpr uint8_t kTcpFin = 0x01;
constexpr uint8_t kTcpPush = 0x08;
constexpr uint8_t kTcpCwr = 0x80;
constexpr size_t kUdpBytes = 8;
constexpr size_t kUdpLengthOffset = 4;
constexpr size_t kUdpChecksumOffset = 6;

uint16_t get16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}

void put16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

uint32_t get32(const uint8_t* at) {
  return static_cast<uint32_t>(get16(at)) << 16 | get16(at + 2);
}

void put32(uint8_t* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

// The Internet checksum (RFC 1071) does not mind the order of bytes as long as it is one order:
// words are summed as the machine has them.
class Checksum {
 public:
  // `bytes` is even but for the last piece.
  void add(const uint8_t* from, size_t bytes) {
    for (; bytes >= 4; from += 4, bytes -= 4) {
      uint32_t word;
      std::memcpy(&word, from, 4);
      sum_ += word;
    }
    uint32_t rest = 0;
    std::memcpy(&rest, from, bytes);
    sum_ += rest;
  }

  // A number of 16 bits that is no part of a frame.
  void add(size_t number) {
    uint8_t bytes[2];
    put16(bytes, number);
    add(bytes, sizeof bytes);
  }

  // 0 means "none" to UDP, and its complement is the same number.
  void store(uint8_t* to) const {
    uint64_t folded = sum_;
    while (folded >> 16 != 0) folded = (folded & 0xffff) + (folded >> 16);
    auto value = static_cast<uint16_t>(~folded);
    if (value == 0) value = 0xffff;
    std::memcpy(to, &value, sizeof value);
  }

 private:
  uint64_t sum_ = 0;  // 2^32 words fit
};

size_t checksumOffsetOf(uint8_t protocol) {
  return protocol == kProtocolTcp ? kTcpChecksumOffset : kUdpChecksumOffset;
}

}  // namespace

bool Segmenter::begin(const FrameOffload& offload, const uint8_t* frame, size_t bytes) {
  offload_ = offload;
  frame_ = frame;
  bytes_ = bytes;
  payload_ = bytes;
  index_ = 0;
  const bool checksum = offload.flags & FrameOffload::kNeedsChecksum;
  if (checksum && size_t{offload.checksumStart} + offload.checksumOffset + 2 > bytes) return false;
  if (offload.gsoType == 0) return bytes > 0;
  return checksum && offload.gsoBytes > 0 && findTransport() &&
         offload.checksumStart == transport_ &&
         offload.checksumOffset == checksumOffsetOf(protocol_) && payload_ < bytes;
}

// The offsets of a frame that is to be cut; false when it is not what the header says.
bool Segmenter::findTransport() {
  size_t type = kEthernetBytes - 2;
  for (int tags = 0; tags < kTagsMax && type + kTagBytes + 2 <= bytes_; tags++) {
    const uint16_t is = get16(frame_ + type);
    if (is != kTypeTag && is != kTypeServiceTag) break;
    type += kTagBytes;
  }
  ip_ = type + 2;
  if (ip_ + kIpv4Bytes > bytes_) return false;
  ipv6_ = get16(frame_ + type) == kTypeIpv6;
  if (ipv6_) {
    if (!findIpv6Transport()) return false;
  } else {
    const uint8_t* ip = frame_ + ip_;
    const size_t headerBytes = (ip[0] & 0xf) * size_t{4};
    if (get16(frame_ + type) != kTypeIpv4 || ip[0] >> 4 != 4 || headerBytes < kIpv4Bytes ||
        (get16(ip + kIpv4FragmentOffset) & kFragmentMask) != 0) {
      return false;
    }
    protocol_ = ip[kIpv4ProtocolOffset];
    transport_ = ip_ + headerBytes;
  }
  const uint8_t kind = offload_.gsoType & ~FrameOffload::kEcn;
  if (kind == FrameOffload::kUdpL4) {
    payload_ = transport_ + kUdpBytes;
    return protocol_ == kProtocolUdp && payload_ <= bytes_;
  }
  if (kind != (ipv6_ ? FrameOffload::kTcpV6 : FrameOffload::kTcpV4)) return false;
  if (protocol_ != kProtocolTcp || transport_ + kTcpBytes > bytes_) return false;
  const size_t headerBytes = (frame_[transport_ + 12] >> 4) * size_t{4};
  payload_ = transport_ + headerBytes;
  return headerBytes >= kTcpBytes && payload_ <= bytes_;
}

bool Segmenter::findIpv6Transport() {
  if (ip_ + kIpv6Bytes > bytes_ || frame_[ip_] >> 4 != 6) return false;
  protocol_ = frame_[ip_ + kIpv6NextOffset];
  transport_ = ip_ + kIpv6Bytes;
  for (int i = 0; i < kExtensionsMax; i++) {
    if (protocol_ != kHopByHop && protocol_ != kRouting && protocol_ != kDestination) return true;
    if (transport_ + 2 > bytes_) return false;
    protocol_ = frame_[transport_];
    transport_ += (frame_[transport_ + 1] + size_t{1}) * 8;
  }
  return false;
}

size_t Segmenter::count() const {
  if (offload_.gsoType == 0) return 1;
  return (bytes_ - payload_ + offload_.gsoBytes - 1) / offload_.gsoBytes;
}

size_t Segmenter::totalBytes() const {
  return count() * payload_ + (bytes_ - payload_);
}

size_t Segmenter::nextBytes() const {
  if (index_ >= count()) return 0;
  if (offload_.gsoType == 0) return bytes_;
  const size_t from = payload_ + index_ * offload_.gsoBytes;
  return payload_ + std::min<size_t>(offload_.gsoBytes, bytes_ - from);
}

size_t Segmenter::next(uint8_t* to) {
  const size_t bytes = nextBytes();
  if (bytes == 0) return 0;
  std::memcpy(to, frame_, std::min(payload_, bytes));
  if (offload_.gsoType != 0) {
    const size_t from = payload_ + index_ * offload_.gsoBytes;
    std::memcpy(to + payload_, frame_ + from, bytes - payload_);
    finishIp(to, bytes);
    finishTransport(to, bytes);
  } else if (offload_.flags & FrameOffload::kNeedsChecksum) {
    // The field holds the sum of the pseudo header already.
    Checksum sum;
    sum.add(to + offload_.checksumStart, bytes - offload_.checksumStart);
    sum.store(to + offload_.checksumStart + offload_.checksumOffset);
  }
  index_++;
  return bytes;
}

void Segmenter::finishIp(uint8_t* segment, size_t bytes) const {
  uint8_t* ip = segment + ip_;
  if (ipv6_) {
    put16(ip + kIpv6LengthOffset, bytes - ip_ - kIpv6Bytes);
    return;
  }
  put16(ip + kIpv4LengthOffset, bytes - ip_);
  put16(ip + kIpv4IdOffset, get16(ip + kIpv4IdOffset) + index_);
  put16(ip + kIpv4ChecksumOffset, 0);
  Checksum sum;
  sum.add(ip, transport_ - ip_);
  sum.store(ip + kIpv4ChecksumOffset);
}

void Segmenter::finishTransport(uint8_t* segment, size_t bytes) const {
  uint8_t* header = segment + transport_;
  const size_t length = bytes - transport_;
  if (protocol_ == kProtocolTcp) {
    const auto skipped = static_cast<uint32_t>(index_ * offload_.gsoBytes);
    put32(header + kTcpSequenceOffset, get32(header + kTcpSequenceOffset) + skipped);
    // The end is in the last segment; that the window was reduced is said once (RFC 3168 §6.1.2).
    if (index_ + 1 < count()) header[kTcpFlagsOffset] &= ~(kTcpFin | kTcpPush);
    if (index_ > 0) header[kTcpFlagsOffset] &= ~kTcpCwr;
  } else {
    put16(header + kUdpLengthOffset, length);
  }
  uint8_t* field = header + checksumOffsetOf(protocol_);
  put16(field, 0);
  Checksum sum;
  const size_t addresses = ipv6_ ? kIpv6AddressesOffset : kIpv4AddressesOffset;
  sum.add(segment + ip_ + addresses, ipv6_ ? 32 : 8);
  sum.add(size_t{protocol_});
  sum.add(length);
  sum.add(header, length);
  sum.store(field);
}

}  // namespace vhost
