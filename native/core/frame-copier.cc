#include "frame-copier.h"

#include <algorithm>
#include <cstring>

namespace vhost {

void FrameCopier::begin() {
  pieces_.clear();
  next_ = nextOffset_ = 0;
}

void FrameCopier::append(void* bytes, size_t count) {
  if (count > 0) pieces_.push_back({bytes, count});
}

uint64_t FrameCopier::append(const DescriptorChain& chain, uint64_t offset, uint64_t bytes) {
  return chain.slice(false, offset, bytes, &pieces_);
}

uint32_t FrameCopier::fill(const DescriptorChain& chain) {
  targets_.clear();
  chain.slice(true, 0, chain.writableBytes, &targets_);
  uint32_t filled = 0;
  for (const iovec& target : targets_) {
    for (size_t at = 0; at < target.iov_len && !done();) {
      const iovec& piece = pieces_[next_];
      const size_t here = std::min(target.iov_len - at, piece.iov_len - nextOffset_);
      // Drivers chose both places, and they may overlap.
      std::memmove(static_cast<uint8_t*>(target.iov_base) + at,
                   static_cast<const uint8_t*>(piece.iov_base) + nextOffset_, here);
      at += here;
      filled += static_cast<uint32_t>(here);
      nextOffset_ += here;
      if (nextOffset_ == piece.iov_len) {
        next_++;
        nextOffset_ = 0;
      }
    }
  }
  return filled;
}

}  // namespace vhost
