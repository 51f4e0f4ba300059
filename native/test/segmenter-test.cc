// segmenter.cc: frames cut and summed as hardware would, and headers that lie.
#include "segmenter.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kEthernet = 14;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

uint16_t get16(const Bytes& bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void put16(Bytes* bytes, size_t at, size_t value) {
  (*bytes)[at] = static_cast<uint8_t>(value >> 8);
  (*bytes)[at + 1] = static_cast<uint8_t>(value);
}

// What to build. Offsets follow.
struct Shape {
  bool ipv6 = false;
  uint8_t protocol = kTcp;
  size_t tags = 0;
  size_t optionBytes = 0;  // of IPv4 options or IPv6 extension headers
  size_t payloadBytes = 4000;

  size_t ip() const { return kEthernet + 4 * tags; }
  size_t transport() const { return ip() + (ipv6 ? 40 : 20) + optionBytes; }
  size_t payload() const { return transport() + (protocol == kTcp ? 32 : 8); }
};

Bytes frameOf(const Shape& shape) {
  Bytes frame(shape.payload() + shape.payloadBytes);
  std::iota(frame.begin() + static_cast<ptrdiff_t>(shape.payload()), frame.end(), 0);
  for (size_t tag = 0; tag < shape.tags; tag++) {
    put16(&frame, 12 + 4 * tag, tag + 1 < shape.tags ? 0x88a8 : 0x8100);
  }
  const size_t ip = shape.ip();
  put16(&frame, ip - 2, shape.ipv6 ? 0x86dd : 0x0800);
  if (shape.ipv6) {
    frame[ip] = 0x60;
    frame[ip + 6] = shape.optionBytes > 0 ? 60 : shape.protocol;
    frame[ip + 7] = 64;
    for (size_t i = 8; i < 40; i++) frame[ip + i] = static_cast<uint8_t>(i * 7);
    if (shape.optionBytes > 0) {
      frame[ip + 40] = shape.protocol;
      frame[ip + 41] = static_cast<uint8_t>(shape.optionBytes / 8 - 1);
    }
  } else {
    frame[ip] = static_cast<uint8_t>(0x45 + shape.optionBytes / 4);
    put16(&frame, ip + 4, 0xfffe);
    frame[ip + 9] = shape.protocol;
    for (size_t i = 12; i < 20; i++) frame[ip + i] = static_cast<uint8_t>(i * 9);
  }
  const size_t at = shape.transport();
  put16(&frame, at, 1234);
  put16(&frame, at + 2, 80);
  if (shape.protocol == kTcp) {
    put16(&frame, at + 4, 0xffff);
    put16(&frame, at + 6, 0xff00);
    frame[at + 12] = 0x80;
    frame[at + 13] = 0x99;  // CWR, ACK, PSH, FIN
  }
  return frame;
}

FrameOffload offloadOf(const Shape& shape, uint16_t gsoBytes) {
  const bool tcp = shape.protocol == kTcp;
  const uint8_t type = !tcp         ? FrameOffload::kUdpL4
                       : shape.ipv6 ? FrameOffload::kTcpV6
                                    : FrameOffload::kTcpV4;
  return {FrameOffload::kNeedsChecksum, type, gsoBytes, static_cast<uint16_t>(shape.transport()),
          static_cast<uint16_t>(tcp ? 16 : 6)};
}

// Byte by byte, another way than the one under test.
uint32_t sumOf(const Bytes& bytes, size_t from, size_t to) {
  uint32_t sum = 0;
  for (size_t i = from; i < to; i++) {
    sum += (i - from) % 2 == 0 ? bytes[i] << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

bool sumsUp(const Bytes& segment, const Shape& shape) {
  const size_t addresses = shape.ip() + (shape.ipv6 ? 8 : 12);
  uint32_t sum = sumOf(segment, addresses, addresses + (shape.ipv6 ? 32 : 8));
  sum += shape.protocol + static_cast<uint32_t>(segment.size() - shape.transport());
  sum += sumOf(segment, shape.transport(), segment.size());
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  const bool ip = shape.ipv6 || sumOf(segment, shape.ip(), shape.transport()) == 0xffff;
  return sum == 0xffff && ip;
}

std::vector<Bytes> segmentsOf(Segmenter* segmenter) {
  std::vector<Bytes> segments;
  while (segmenter->nextBytes() > 0) {
    Bytes segment(segmenter->nextBytes());
    CHECK_EQ(segmenter->next(segment.data()), segment.size());
    segments.push_back(segment);
  }
  return segments;
}

void checkSegments(const Shape& shape, uint16_t gsoBytes) {
  const Bytes frame = frameOf(shape);
  Segmenter segmenter;
  CHECK(segmenter.begin(offloadOf(shape, gsoBytes), frame.data(), frame.size()));
  const size_t count = segmenter.count();
  const size_t total = segmenter.totalBytes();
  const std::vector<Bytes> segments = segmentsOf(&segmenter);
  CHECK_EQ(segments.size(), count);
  CHECK_EQ(count, (shape.payloadBytes + gsoBytes - 1) / gsoBytes);
  Bytes payload;
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    const Bytes& segment = segments[i];
    CHECK(sumsUp(segment, shape));
    const size_t ip = shape.ip();
    CHECK_EQ(get16(segment, ip + (shape.ipv6 ? 4 : 2)),
             segment.size() - ip - (shape.ipv6 ? 40 : 0));
    if (!shape.ipv6) CHECK_EQ(get16(segment, ip + 4), (0xfffe + i) & 0xffff);
    const size_t at = shape.transport();
    if (shape.protocol == kTcp) {
      const auto sequence = static_cast<uint32_t>(0xffffff00 + i * gsoBytes);
      CHECK_EQ(get16(segment, at + 4) << 16 | get16(segment, at + 6), static_cast<int>(sequence));
      const int first = i == 0 ? 0x80 : 0;
      const int last = i + 1 == count ? 0x09 : 0;
      CHECK_EQ(segment[at + 13], 0x10 | first | last);
    } else {
      CHECK_EQ(get16(segment, at + 4), segment.size() - at);
    }
    payload.insert(payload.end(), segment.begin() + static_cast<ptrdiff_t>(shape.payload()),
                   segment.end());
    bytes += segment.size();
  }
  CHECK_EQ(bytes, total);
  CHECK(std::equal(payload.begin(), payload.end(),
                   frame.begin() + static_cast<ptrdiff_t>(shape.payload()), frame.end()));
}

TEST("TCP and UDP are cut into segments that are whole by themselves (NT-036)") {
  for (const bool ipv6 : {false, true}) {
    for (const uint8_t protocol : {kTcp, kUdp}) {
      for (const size_t tags : {0, 1, 2}) {
        for (const size_t optionBytes : {0, 24}) {
          for (const size_t payloadBytes : {1, 1448, 1449, 65'000 - 300}) {
            checkSegments({ipv6, protocol, tags, optionBytes, payloadBytes}, 1448);
          }
        }
      }
    }
  }
  checkSegments({.payloadBytes = 3000}, 1);
  checkSegments({.payloadBytes = 3000}, 0xffff);
}

TEST("a checksum left to be done is done") {
  for (const size_t payloadBytes : {0, 1, 2, 3, 4, 999}) {
    const Shape shape{.protocol = kUdp, .payloadBytes = payloadBytes};
    Bytes frame = frameOf(shape);
    const size_t at = shape.transport();
    put16(&frame, at + 4, frame.size() - at);
    const uint32_t pseudo = sumOf(frame, shape.ip() + 12, shape.ip() + 20) + kUdp +
                            static_cast<uint32_t>(frame.size() - at);
    put16(&frame, at + 6, (pseudo & 0xffff) + (pseudo >> 16));
    // The header of IP is complete already when only this is left.
    put16(&frame, shape.ip() + 10, 0xffff - sumOf(frame, shape.ip(), at));
    Segmenter segmenter;
    CHECK(segmenter.begin({1, 0, 0, static_cast<uint16_t>(at), 6}, frame.data(), frame.size()));
    const std::vector<Bytes> segments = segmentsOf(&segmenter);
    CHECK_EQ(segments.size(), 1u);
    CHECK(sumsUp(segments[0], shape));
  }
}

TEST("a frame that asks for nothing stays as it is") {
  const Bytes frame(60, 3);
  Segmenter segmenter;
  CHECK(segmenter.begin({}, frame.data(), frame.size()));
  CHECK(segmentsOf(&segmenter) == std::vector<Bytes>{frame});
}

TEST("headers that lie are refused (NT-006, NT-007, NT-008)") {
  const Shape v4{.payloadBytes = 100};
  const Shape v6{.ipv6 = true, .optionBytes = 8, .payloadBytes = 100};
  struct Row {
    const char* what;
    Shape shape;
    std::function<void(FrameOffload*, Bytes*)> change;
  };
  const Row rows[] = {
      {"no checksum", v4, [](FrameOffload* o, Bytes*) { o->flags = 0; }},
      {"segments of nothing", v4, [](FrameOffload* o, Bytes*) { o->gsoBytes = 0; }},
      {"unknown type", v4, [](FrameOffload* o, Bytes*) { o->gsoType = 2; }},
      {"UDP fragments", v4, [](FrameOffload* o, Bytes*) { o->gsoType = 3; }},
      {"the other protocol", v4, [](FrameOffload* o, Bytes*) { o->gsoType = 5; }},
      {"the other IP", v4, [](FrameOffload* o, Bytes*) { o->gsoType = 4; }},
      {"the other IP", v6, [](FrameOffload* o, Bytes*) { o->gsoType = 1; }},
      {"checksum elsewhere", v4, [](FrameOffload* o, Bytes*) { o->checksumStart += 2; }},
      {"another field", v4, [](FrameOffload* o, Bytes*) { o->checksumOffset = 6; }},
      {"beyond the end", v4, [](FrameOffload* o, Bytes*) { o->checksumStart = 0xffff; }},
      {"a sum that wraps", v4, [](FrameOffload* o, Bytes*) { o->checksumOffset = 0xfff0; }},
      {"no IP", v4, [](FrameOffload*, Bytes* f) { (*f)[12] = 0x99; }},
      {"a tag and nothing", v4, [](FrameOffload*, Bytes* f) { put16(f, 12, 0x8100); }},
      {"IPv4 header too short", v4, [](FrameOffload*, Bytes* f) { (*f)[14] = 0x44; }},
      {"version 5", v4, [](FrameOffload*, Bytes* f) { (*f)[14] = 0x55; }},
      {"a fragment", v4, [](FrameOffload*, Bytes* f) { (*f)[20] = 0x20; }},
      {"TCP header too short", v4, [](FrameOffload*, Bytes* f) { (*f)[46] = 0x40; }},
      {"TCP header beyond", v4, [](FrameOffload*, Bytes* f) { f->resize(60); }},
      {"no payload", v4, [](FrameOffload*, Bytes* f) { f->resize(66); }},
      {"cut in TCP", v4, [](FrameOffload*, Bytes* f) { f->resize(53); }},
      {"cut in IP", v4, [](FrameOffload*, Bytes* f) { f->resize(30); }},
      {"IPv6, version 4", v6, [](FrameOffload*, Bytes* f) { (*f)[14] = 0x40; }},
      {"extension beyond", v6, [](FrameOffload*, Bytes* f) { (*f)[55] = 0xff; }},
      {"extensions that never end", v6,
       [](FrameOffload*, Bytes* f) {
         f->assign(f->size(), 0);
         put16(f, 12, 0x86dd);
         (*f)[14] = 0x60;
       }},
  };
  for (const Row& row : rows) {
    Bytes frame = frameOf(row.shape);
    FrameOffload offload = offloadOf(row.shape, 48);
    Segmenter segmenter;
    CHECK(segmenter.begin(offload, frame.data(), frame.size()));
    row.change(&offload, &frame);
    // A copy of the exact size: what is read beyond it, the sanitizer sees.
    const Bytes exact(frame.begin(), frame.end());
    if (segmenter.begin(offload, exact.data(), exact.size())) {
      fail(__FILE__, __LINE__, std::string("taken: ") + row.what);
    }
  }
}

TEST("random headers never lead outside the frame (NT-036)") {
  std::mt19937 random(20);
  const auto any = [&](uint32_t bound) { return random() % bound; };
  for (int round = 0; round < 20'000; round++) {
    const Shape shape{any(2) == 1, any(2) == 1 ? kTcp : kUdp, any(3), any(2) * 8, any(300)};
    Bytes frame = frameOf(shape);
    FrameOffload offload = offloadOf(shape, static_cast<uint16_t>(1 + any(100)));
    for (uint32_t i = any(4); i > 0; i--) frame[any(80) % frame.size()] = random() & 0xff;
    if (any(3) == 0) offload.checksumStart = static_cast<uint16_t>(any(200));
    if (any(4) == 0) frame.resize(any(static_cast<uint32_t>(frame.size())) + 1);
    frame.shrink_to_fit();
    Segmenter segmenter;
    if (!segmenter.begin(offload, frame.data(), frame.size())) continue;
    const size_t total = segmenter.totalBytes();
    size_t bytes = 0;
    for (const Bytes& segment : segmentsOf(&segmenter)) bytes += segment.size();
    CHECK_EQ(bytes, total);
  }
}

}  // namespace
}  // namespace vhost::test
