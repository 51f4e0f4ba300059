// Frames from a tap or a datagram socket into chains that wait for them, one system call for each.
// How long the next frame is nobody knows: it is read into as many chains as the last one took, and
// what does not fit there goes through a spill buffer.
#ifndef VHOST_CORE_FRAME_RECEIVER_H_
#define VHOST_CORE_FRAME_RECEIVER_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "descriptor-chain.h"
#include "frame-filter.h"
#include "frame-hash.h"

namespace vhost {

class WaitingChains;

// Which chains a frame goes into, where that depends on the frame.
class ChainChoice {
 public:
  virtual ~ChainChoice() = default;
  virtual const WaitingChains& chainsFor(const HashedFrame& hashed) = 0;
};

// Of struct virtio_net_hdr in guest memory: with num_buffers, which VERSION_1 always has, and with
// the hash (VIRTIO 1.3 §5.1.6). A tap gives the first.
constexpr uint32_t kFrameHeaderBytes = 12;
constexpr uint32_t kHashHeaderBytes = 20;

struct FrameSource {
  int fd;
  bool socket;           // recvmsg, and frames come without header: zeroes are put in front
  bool merge;            // a frame may go over several chains (VIRTIO_NET_F_MRG_RXBUF)
  uint32_t headerBytes;  // in front of each frame in guest memory
  const FrameFilter* filter = nullptr;  // none: the driver gets every frame; borrowed
  // For a header with the hash, and for `choice`; none: it says that there is no hash. Borrowed.
  const FrameHash* hash = nullptr;
  ChainChoice* choice = nullptr;  // borrowed
};

struct ReceivedFrame {
  int64_t result;   // bytes of the frame without header, 0 for one that was dropped, or -errno
  uint32_t chains;  // that hold it; 0: none, it was dropped
  bool filtered = false;  // the driver does not want it
};

// Chains that wait for frames, the first in turn first.
class WaitingChains {
 public:
  virtual ~WaitingChains() = default;
  // nullptr behind the last one. None is shorter than a header.
  virtual const DescriptorChain* at(size_t index) const = 0;
};

class FrameReceiver {
 public:
  // Receives one frame into the first of `chains`. In used[i]: bytes written to chain i. A frame
  // too long for all of them is dropped. With a choice the frame is read first, and `chains` are
  // not looked at.
  ReceivedFrame receive(const FrameSource& source, const WaitingChains& chains,
                        std::vector<uint32_t>* used);

 private:
  bool spread(const FrameSource& source, const WaitingChains& chains, uint64_t total,
              std::vector<uint32_t>* used) const;
  void write(const FrameSource& source, const WaitingChains& chains, uint64_t room, uint64_t bytes,
             uint16_t count, const HashedFrame& hashed);
  uint64_t gather(const FrameSource& source, const WaitingChains& chains);

  std::vector<iovec> segments_;
  std::vector<uint8_t> spill_;
  uint64_t expectedBytes_ = 0;  // the last frame's: frames of one size come in rows
};

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_RECEIVER_H_
