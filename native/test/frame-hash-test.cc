// frame-hash.cc: the test vectors that came with the first receive-side scaling (Microsoft,
// "Verifying the RSS Hash Calculation"), and what of a frame is hashed at all.
#include "frame-hash.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kKey[kHashKeyBytes] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
constexpr uint32_t kAll = 0x1ff;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

struct Vector {
  const char* to;
  uint16_t toPort;
  const char* from;
  uint16_t fromPort;
  uint32_t addresses;  // hash of these
  uint32_t ports;      // and with ports
};

constexpr Vector kIpv4Vectors[] = {
    {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
};
constexpr Vector kIpv6Vectors[] = {
    {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985,
     0x02d1feef},
};

std::unique_ptr<FrameHash> hasher(uint32_t types) {
  auto made = std::make_unique<FrameHash>();
  made->types = types;
  std::copy(std::begin(kKey), std::end(kKey), made->key);
  made->prepare();
  return made;
}

void put16(Bytes* bytes, uint16_t value) {
  bytes->push_back(static_cast<uint8_t>(value >> 8));
  bytes->push_back(static_cast<uint8_t>(value));
}

void putAddress(Bytes* bytes, int family, const char* text) {
  uint8_t address[16];
  CHECK_EQ(inet_pton(family, text, address), 1);
  bytes->insert(bytes->end(), address, address + (family == AF_INET ? 4 : 16));
}

struct Shape {
  uint8_t protocol = kTcp;
  int tags = 0;
  Bytes extensions = {};  // of IPv6; the first is of the kind `next`
  uint8_t next = 0;
  uint16_t fragment = 0;  // of IPv4
};

Bytes frameOf(const Vector& vector, bool ipv6, const Shape& shape = {}) {
  Bytes frame(12, 0x02);
  for (int tag = 0; tag < shape.tags; tag++) {
    put16(&frame, tag + 1 < shape.tags ? 0x88a8 : 0x8100);
    put16(&frame, 7);
  }
  put16(&frame, ipv6 ? 0x86dd : 0x0800);
  if (ipv6) {
    frame.insert(frame.end(), {0x60, 0, 0, 0, 0, 0});
    frame.push_back(shape.extensions.empty() ? shape.protocol : shape.next);
    frame.push_back(64);
  } else {
    frame.insert(frame.end(), {0x45, 0, 0, 40, 0, 0});
    put16(&frame, shape.fragment);
    frame.insert(frame.end(), {64, shape.protocol, 0, 0});
  }
  putAddress(&frame, ipv6 ? AF_INET6 : AF_INET, vector.from);
  putAddress(&frame, ipv6 ? AF_INET6 : AF_INET, vector.to);
  frame.insert(frame.end(), shape.extensions.begin(), shape.extensions.end());
  put16(&frame, vector.fromPort);
  put16(&frame, vector.toPort);
  frame.resize(frame.size() + 40);
  return frame;
}

HashedFrame hash(const Bytes& frame, uint32_t types = kAll) {
  return hasher(types)->hash(frame.data(), frame.size());
}

TEST("frame hash: the published vectors, by types and behind tags") {
  for (const bool ipv6 : {false, true}) {
    const uint32_t family = ipv6 ? 4 : 1;
    const uint32_t plain = ipv6 ? kHashIpv6 : kHashIpv4;
    std::vector<Vector> vectors(std::begin(kIpv4Vectors), std::end(kIpv4Vectors));
    if (ipv6) vectors.assign(std::begin(kIpv6Vectors), std::end(kIpv6Vectors));
    for (const Vector& vector : vectors) {
      for (const int tags : {0, 1, 2}) {
        for (const uint8_t protocol : {kTcp, kUdp}) {
          const Bytes frame = frameOf(vector, ipv6, {.protocol = protocol, .tags = tags});
          CHECK_EQ(hash(frame).value, vector.ports);
          CHECK_EQ(hash(frame).report, family + (protocol == kTcp ? 1 : 2));
          CHECK_EQ(hash(frame, plain).value, vector.addresses);
          CHECK_EQ(hash(frame, plain).report, family);
          // The ports of the other transport, and the other family.
          CHECK_EQ(hash(frame, plain << (protocol == kTcp ? 2 : 1)).report, 0u);
          CHECK_EQ(hash(frame, kAll & ~(plain * 7)).report, 0u);
        }
        const Bytes other = frameOf(vector, ipv6, {.protocol = 132, .tags = tags});
        CHECK_EQ(hash(other).value, vector.addresses);
      }
    }
  }
}

TEST("frame hash: fragments have no ports") {
  const Vector& vector = kIpv4Vectors[0];
  for (const uint16_t fragment : {uint16_t{0x2000}, uint16_t{0x0003}}) {
    CHECK_EQ(hash(frameOf(vector, false, {.fragment = fragment})).value, vector.addresses);
  }
  CHECK_EQ(hash(frameOf(vector, false, {.fragment = 0x4000})).value, vector.ports);
  const Bytes fragment = {kTcp, 0, 0, 1, 0, 0, 0, 9};
  const Bytes frame = frameOf(kIpv6Vectors[0], true, {.extensions = fragment, .next = 44});
  CHECK_EQ(hash(frame).value, kIpv6Vectors[0].addresses);
  CHECK_EQ(hash(frame).report, 7u);
}

TEST("frame hash: extension headers heeded, passed over, and lying about their length") {
  const Vector& vector = kIpv6Vectors[0];
  const Bytes hop = {kTcp, 0, 1, 4, 0, 0, 0, 0};
  const Bytes frame = frameOf(vector, true, {.extensions = hop});
  CHECK_EQ(hash(frame).report, 8u);
  CHECK_EQ(hash(frame).value, vector.ports);
  CHECK_EQ(hash(frame, kHashTcp6).report, 5u);
  CHECK_EQ(hash(frame, kHashTcp6 | kHashIpv6Ex).report, 7u);
  Bytes lies = frame;
  lies[14 + 40 + 1] = 0xff;
  CHECK_EQ(hash(lies).value, vector.addresses);
  CHECK_EQ(hash(lies).report, 7u);

  // The home address and the final destination are those of another vector.
  const Vector& other = kIpv6Vectors[2];
  Bytes mobile = {43, 2, 0xc9, 16};
  putAddress(&mobile, AF_INET6, other.from);
  mobile.insert(mobile.end(), {1, 2, 0, 0});
  mobile.insert(mobile.end(), {kTcp, 2, 2, 1, 0, 0, 0, 0});
  putAddress(&mobile, AF_INET6, other.to);
  const Bytes moved = frameOf(vector, true, {.extensions = mobile, .next = 60});
  CHECK_EQ(hash(moved, kHashIpv6Ex).value, other.addresses);
  CHECK_EQ(hash(moved, kHashIpv6).value, vector.addresses);
}

TEST("frame hash: whatever is cut off, nothing beyond it is read") {
  const Bytes mobile = {43, 2, 0xc9, 16, 1,    1,   1, 1, 1,    1, 1, 1, 1, 1, 1, 1,
                        1,  1, 1,    1,  0xc9, 255, 0, 0, kTcp, 0, 2, 1, 0, 0, 0, 0};
  const Bytes frames[] = {
      frameOf(kIpv4Vectors[0], false, {.tags = 2}),
      frameOf(kIpv6Vectors[0], true, {.tags = 1, .extensions = mobile, .next = 60}),
  };
  const auto all = hasher(kAll);
  for (const Bytes& frame : frames) {
    for (size_t bytes = 0; bytes <= frame.size(); bytes++) {
      // On the heap, where AddressSanitizer sees the end.
      const Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(bytes));
      const HashedFrame hashed = all->hash(cut.data(), cut.size());
      CHECK(hashed.report != 0 || bytes < frame.size());
    }
  }
}

TEST("frame hash: the queue it stands for") {
  const auto hash = hasher(kAll);
  hash->mask = 3;
  hash->unclassified = 9;
  for (uint16_t i = 0; i < 4; i++) hash->queues[i] = 10 + i;
  CHECK_EQ(hash->queueOf({0x51ccc17a, 2}), 12u);
  CHECK_EQ(hash->queueOf({0x51ccc17a, 0}), 9u);
  hash->mask = 0xffffffff;
  CHECK_EQ(hash->queueOf({0xffffff81, 1}), hash->queues[1]);
}

}  // namespace
}  // namespace vhost::test
