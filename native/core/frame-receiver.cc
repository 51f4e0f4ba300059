#include "frame-receiver.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "operation.h"

namespace vhost {
namespace {

// The longest frame with a header, and one byte that tells a longer one (VIRTIO 1.3 §5.1.6.3.1:
// 65562 bytes with the header of 12).
constexpr size_t kSpillBytes = 65562 + 1;
// Room for an ordinary frame whatever came before.
constexpr uint64_t kExpectedBytesMin = 2048;
// Where num_buffers lies in the header (VIRTIO 1.3 §5.1.6).
constexpr uint64_t kNumBuffersOffset = 10;
constexpr uint32_t kFrameHeaderBytesMax = 32;

int64_t readFrame(const FrameSource& source, std::vector<iovec>* segments) {
  int64_t got = 0;
  do {
    if (source.socket) {
      msghdr message = {};
      message.msg_iov = segments->data();
      message.msg_iovlen = segments->size();
      got = recvmsg(source.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
    } else {
      got = readv(source.fd, segments->data(), static_cast<int>(segments->size()));
    }
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

// Writes `bytes` at a position counted over all chains, as if they were one.
void copyOver(const WaitingChains& chains, uint64_t position, const uint8_t* from, uint64_t bytes) {
  for (size_t i = 0; bytes > 0; i++) {
    const DescriptorChain* chain = chains.at(i);
    if (chain == nullptr) return;
    if (position >= chain->writableBytes) {
      position -= chain->writableBytes;
      continue;
    }
    const uint64_t copied = chain->copyIn(position, from, bytes);
    from += copied;
    bytes -= copied;
    position = 0;
  }
}

// The first bytes of what was read, from `offset` on. The driver may change them between now and
// its own look: it fools nobody but itself.
size_t peek(const std::vector<iovec>& segments, size_t offset, size_t got, uint8_t* to,
            size_t bytes) {
  size_t done = 0;
  size_t left = std::min(got - std::min(got, offset), bytes);
  for (size_t i = 0; i < segments.size() && left > 0; i++) {
    const size_t length = segments[i].iov_len;
    const size_t from = std::min(offset, length);
    const size_t here = std::min(length - from, left);
    std::memcpy(to + done, static_cast<const uint8_t*>(segments[i].iov_base) + from, here);
    offset -= from;
    done += here;
    left -= here;
  }
  return done;
}

}  // namespace

bool FrameReceiver::wanted(const FrameSource& source, uint64_t got) const {
  if (source.filter == nullptr) return true;
  uint8_t start[kFrameFilterBytes];
  const size_t offset = source.socket ? 0 : source.headerBytes;
  return source.filter->passes(start, peek(segments_, offset, got, start, sizeof start));
}

// The segments the frame is read into, and how many bytes of them belong to chains.
uint64_t FrameReceiver::gather(const FrameSource& source, const WaitingChains& chains) {
  const uint64_t gap = source.socket ? source.headerBytes : 0;
  const uint64_t wanted = source.merge ? std::max(expectedBytes_, kExpectedBytesMin) : 0;
  segments_.clear();
  uint64_t room = 0;
  for (size_t i = 0; i == 0 || room < wanted; i++) {
    const DescriptorChain* chain = chains.at(i);
    if (chain == nullptr) break;
    room += chain->slice(true, i == 0 ? gap : 0, chain->writableBytes, &segments_);
    if (segments_.size() >= kSegmentsPerAttemptMax) break;
  }
  for (; segments_.size() >= kSegmentsPerAttemptMax; segments_.pop_back()) {
    room -= segments_.back().iov_len;
  }
  spill_.resize(kSpillBytes);
  segments_.push_back({spill_.data(), spill_.size()});
  return room;
}

ReceivedFrame FrameReceiver::receive(const FrameSource& source, const WaitingChains& chains,
                                     std::vector<uint32_t>* used) {
  if (source.headerBytes > kFrameHeaderBytesMax || chains.at(0) == nullptr) return {-EINVAL, 0};
  const uint64_t room = gather(source, chains);
  const int64_t got = readFrame(source, &segments_);
  if (got < 0) return {got, 0};
  const auto bytes = static_cast<uint64_t>(got);
  const uint64_t gap = source.socket ? source.headerBytes : 0;
  const uint64_t total = gap + bytes;
  if (total <= source.headerBytes || bytes >= room + kSpillBytes) return {0, 0};
  if (!wanted(source, bytes)) return {0, 0, true};
  used->clear();
  for (uint64_t left = total; left > 0;) {
    const bool mayTake = source.merge || used->empty();
    const DescriptorChain* chain = mayTake ? chains.at(used->size()) : nullptr;
    // The driver looks at no chain it has not back: all of them wait for the next frame.
    if (chain == nullptr) return {0, 0};
    const uint64_t here = std::min<uint64_t>(left, chain->writableBytes);
    used->push_back(static_cast<uint32_t>(here));
    left -= here;
  }
  if (bytes > room) copyOver(chains, gap + room, spill_.data(), bytes - room);
  const uint8_t zeroes[kFrameHeaderBytesMax] = {};
  copyOver(chains, 0, zeroes, gap);
  const auto count = static_cast<uint16_t>(used->size());
  const uint8_t little[] = {static_cast<uint8_t>(count), static_cast<uint8_t>(count >> 8)};
  copyOver(chains, kNumBuffersOffset, little, sizeof little);
  expectedBytes_ = bytes;
  return {static_cast<int64_t>(total - source.headerBytes), count};
}

}  // namespace vhost
