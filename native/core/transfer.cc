#include "transfer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "operation.h"

namespace vhost {
namespace {

int64_t overSocket(const CommandRecord& command, msghdr* message) {
  const int fd = static_cast<int>(command.file);
  if (command.code == static_cast<uint32_t>(CommandCode::kSend)) {
    return sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  // A message longer than the segments says so by its length; what did not fit is lost.
  const int truncate = command.flags & kCommandMessage ? MSG_TRUNC : 0;
  return recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | truncate);
}

}  // namespace

bool sliceArena(const Arena& arena, uint64_t offset, uint64_t bytes, std::vector<iovec>* out) {
  if (offset > arena.bytes || bytes > arena.bytes - offset) return false;
  if (bytes > 0) out->push_back({arena.base + offset, bytes});
  return true;
}

int64_t transferOnce(const CommandRecord& command, std::vector<iovec>* segments) {
  if (segments->size() > kSegmentsPerAttemptMax) return -EMSGSIZE;
  const int fd = static_cast<int>(command.file);
  const auto count = static_cast<int>(segments->size());
  int64_t moved = 0;
  do {
    if (command.flags & kCommandSocket) {
      msghdr message = {};
      message.msg_iov = segments->data();
      message.msg_iovlen = segments->size();
      moved = overSocket(command, &message);
    } else if (command.code == static_cast<uint32_t>(CommandCode::kSend)) {
      moved = writev(fd, segments->data(), count);
    } else {
      moved = readv(fd, segments->data(), count);
    }
  } while (moved < 0 && errno == EINTR);
  return moved < 0 ? -errno : moved;
}

uint64_t copySegments(const std::vector<iovec>& from, const std::vector<iovec>& to) {
  uint64_t copied = 0;
  size_t source = 0;
  size_t target = 0;
  uint64_t sourceOffset = 0;
  uint64_t targetOffset = 0;
  while (source < from.size() && target < to.size()) {
    const uint64_t here =
        std::min(from[source].iov_len - sourceOffset, to[target].iov_len - targetOffset);
    // The driver chose both places, and they may overlap.
    std::memmove(static_cast<uint8_t*>(to[target].iov_base) + targetOffset,
                 static_cast<const uint8_t*>(from[source].iov_base) + sourceOffset, here);
    copied += here;
    sourceOffset += here;
    targetOffset += here;
    if (sourceOffset == from[source].iov_len) {
      source++;
      sourceOffset = 0;
    }
    if (targetOffset == to[target].iov_len) {
      target++;
      targetOffset = 0;
    }
  }
  return copied;
}

}  // namespace vhost
