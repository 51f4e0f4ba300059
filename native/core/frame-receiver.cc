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
// Where they lie in the header (VIRTIO 1.3 §5.1.6).
constexpr uint64_t kNumBuffersOffset = 10;
constexpr uint64_t kHashOffset = 12;
static_assert(kHashedFrameBytes >= kFrameFilterBytes);

// Of the header, what comes with the frame; the rest of it is ours to write.
uint32_t ownHeaderBytes(const FrameSource& source) {
  return source.socket ? 0 : kFrameHeaderBytes;
}

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

// The segments the frame is read into, and how many bytes of them belong to chains.
uint64_t FrameReceiver::gather(const FrameSource& source, const WaitingChains& chains) {
  const uint32_t own = ownHeaderBytes(source);
  const uint64_t wanted = source.merge ? std::max(expectedBytes_, kExpectedBytesMin) : 0;
  segments_.clear();
  uint64_t room = 0;
  for (size_t i = 0; source.choice == nullptr && (i == 0 || room < wanted); i++) {
    const DescriptorChain* chain = chains.at(i);
    if (chain == nullptr) break;
    // No chain is shorter than the header: all of it lies in the first.
    const uint64_t from = i == 0 && own < source.headerBytes ? source.headerBytes : 0;
    if (from > 0) room += chain->slice(true, 0, own, &segments_);
    room += chain->slice(true, from, chain->writableBytes - from, &segments_);
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
  const bool known =
      source.headerBytes == kFrameHeaderBytes || source.headerBytes == kHashHeaderBytes;
  // A frame that is dealt to one of several lists is read before it is known to which.
  const bool ready = source.choice != nullptr || chains.at(0) != nullptr;
  if (!known || !ready) return {-EINVAL, 0};
  const uint64_t room = gather(source, chains);
  const int64_t got = readFrame(source, &segments_);
  if (got < 0) return {got, 0};
  const auto bytes = static_cast<uint64_t>(got);
  const uint32_t own = ownHeaderBytes(source);
  if (bytes <= own || bytes >= room + kSpillBytes) return {0, 0};
  const uint64_t frameBytes = bytes - own;
  uint8_t start[kHashedFrameBytes];
  const bool hashes = source.hash != nullptr;
  const size_t shown =
      peek(segments_, own, bytes, start, hashes ? kHashedFrameBytes : kFrameFilterBytes);
  if (source.filter != nullptr && !source.filter->passes(start, shown)) return {0, 0, true};
  const HashedFrame hashed = hashes ? source.hash->hash(start, shown) : HashedFrame{};
  const WaitingChains& into = source.choice == nullptr ? chains : source.choice->chainsFor(hashed);
  if (!spread(source, into, source.headerBytes + frameBytes, used)) return {0, 0};
  const auto count = static_cast<uint16_t>(used->size());
  write(source, into, room, bytes, count, hashed);
  expectedBytes_ = source.headerBytes + frameBytes;
  return {static_cast<int64_t>(frameBytes), count};
}

// Bytes for each chain; false when they have no room. The driver looks at no chain it has not back:
// then all of them wait for the next frame.
bool FrameReceiver::spread(const FrameSource& source, const WaitingChains& chains, uint64_t total,
                           std::vector<uint32_t>* used) const {
  used->clear();
  for (uint64_t left = total; left > 0;) {
    const bool mayTake = source.merge || used->empty();
    const DescriptorChain* chain = mayTake ? chains.at(used->size()) : nullptr;
    if (chain == nullptr) return false;
    const uint64_t here = std::min<uint64_t>(left, chain->writableBytes);
    used->push_back(static_cast<uint32_t>(here));
    left -= here;
  }
  return true;
}

// What of the frame's `bytes` was not read into the chains, and the header.
void FrameReceiver::write(const FrameSource& source, const WaitingChains& chains, uint64_t room,
                          uint64_t bytes, uint16_t count, const HashedFrame& hashed) {
  const uint32_t own = ownHeaderBytes(source);
  if (room == 0) {
    copyOver(chains, 0, spill_.data(), own);
    copyOver(chains, source.headerBytes, spill_.data() + own, bytes - own);
  } else if (bytes > room) {
    copyOver(chains, source.headerBytes - own + room, spill_.data(), bytes - room);
  }
  uint8_t header[kHashHeaderBytes] = {};
  const auto put16 = [&header](uint64_t at, uint32_t value) {
    header[at] = static_cast<uint8_t>(value);
    header[at + 1] = static_cast<uint8_t>(value >> 8);
  };
  put16(kNumBuffersOffset, count);
  put16(kHashOffset, hashed.value);
  put16(kHashOffset + 2, hashed.value >> 16);
  put16(kHashOffset + 4, hashed.report);
  const uint64_t from = std::min<uint64_t>(own, kNumBuffersOffset);
  copyOver(chains, from, header + from, source.headerBytes - from);
}

}  // namespace vhost
