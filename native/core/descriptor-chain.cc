#include "descriptor-chain.h"

#include <algorithm>
#include <cstring>

namespace vhost {
namespace {

// Calls visit(host, bytes) for each piece of [offset, offset + bytes) of a side.
template <typename Visit>
uint64_t forEachPiece(const DescriptorChain& chain, bool writable, uint64_t offset, uint64_t bytes,
                      Visit visit) {
  const size_t first = writable ? chain.readableSegments : 0;
  const size_t last = writable ? chain.segments.size() : chain.readableSegments;
  uint64_t done = 0;
  for (size_t i = first; i < last && done < bytes; i++) {
    const iovec& segment = chain.segments[i];
    if (offset >= segment.iov_len) {
      offset -= segment.iov_len;
      continue;
    }
    const uint64_t here = std::min<uint64_t>(segment.iov_len - offset, bytes - done);
    visit(static_cast<uint8_t*>(segment.iov_base) + offset, here);
    done += here;
    offset = 0;
  }
  return done;
}

}  // namespace

uint64_t DescriptorChain::slice(bool writable, uint64_t offset, uint64_t bytes,
                                std::vector<iovec>* out) const {
  return forEachPiece(*this, writable, offset, bytes, [&](uint8_t* at, uint64_t here) {
    out->push_back({at, here});
  });
}

uint64_t DescriptorChain::copyOut(uint64_t readableOffset, void* to, uint64_t bytes) const {
  auto* target = static_cast<uint8_t*>(to);
  return forEachPiece(*this, false, readableOffset, bytes, [&](uint8_t* at, uint64_t here) {
    // It may go into another chain, and the drivers chose both places.
    std::memmove(target, at, here);
    target += here;
  });
}

uint64_t DescriptorChain::copyIn(uint64_t writableOffset, const void* from, uint64_t bytes) const {
  const auto* source = static_cast<const uint8_t*>(from);
  return forEachPiece(*this, true, writableOffset, bytes, [&](uint8_t* at, uint64_t here) {
    std::memcpy(at, source, here);
    source += here;
  });
}

}  // namespace vhost
