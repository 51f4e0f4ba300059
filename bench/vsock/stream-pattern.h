// What a stream carries: its position, as a mark of eight bytes at every 4 KiB. A byte lost,
// doubled or out of place moves all marks behind it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace bench {

constexpr uint64_t kMarkEveryBytes = 4096;
constexpr uint64_t kMarkTag = 0x7673'6f63'0000'0000;

// Calls visit(offset of a mark's part in the piece, the part, its length) for the marks in the
// bytes [position, position + length_bytes) of a stream.
template <typename Visit>
void ForEachMark(uint64_t position, uint64_t length_bytes, Visit visit) {
  const uint64_t end = position + length_bytes;
  for (uint64_t block = position / kMarkEveryBytes; block * kMarkEveryBytes < end; ++block) {
    const uint64_t mark = kMarkTag + block;
    const uint64_t from = std::max(position, block * kMarkEveryBytes);
    const uint64_t to = std::min(end, block * kMarkEveryBytes + sizeof(mark));
    if (from >= to) continue;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&mark);
    visit(from - position, bytes + (from - block * kMarkEveryBytes), to - from);
  }
}

inline void WriteMarks(uint8_t* piece, uint64_t position, uint64_t length_bytes) {
  ForEachMark(position, length_bytes, [&](uint64_t at, const uint8_t* part, uint64_t bytes) {
    std::memcpy(piece + at, part, bytes);
  });
}

inline void CheckMarks(const uint8_t* piece, uint64_t position, uint64_t length_bytes) {
  ForEachMark(position, length_bytes, [&](uint64_t at, const uint8_t* part, uint64_t bytes) {
    if (std::memcmp(piece + at, part, bytes) != 0)
      throw std::runtime_error("the stream is not what was sent at " +
                               std::to_string(position + at));
  });
}

}  // namespace bench
