// A frame on its way from one guest's chain into another's: pieces put one behind the other, then
// handed out to chains as they have room. One copy, and no allocation once it is warm.
#ifndef VHOST_CORE_FRAME_COPIER_H_
#define VHOST_CORE_FRAME_COPIER_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "descriptor-chain.h"

namespace vhost {

class FrameCopier {
 public:
  // A new frame, of nothing yet.
  void begin();
  void append(void* bytes, size_t count);
  // A part of the readable side; bytes really there.
  uint64_t append(const DescriptorChain& chain, uint64_t offset, uint64_t bytes);

  // The next bytes of the frame into the writable side, as many as it has room for.
  uint32_t fill(const DescriptorChain& chain);
  bool done() const { return next_ == pieces_.size(); }

 private:
  std::vector<iovec> pieces_;
  std::vector<iovec> targets_;  // scratch of fill
  size_t next_ = 0;             // piece
  size_t nextOffset_ = 0;       // within it
};

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_COPIER_H_
