#include "scattered-receive.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "operation.h"
#include "transfer.h"

namespace vhost {
namespace {

// The places behind the prefixes, as many as one system call takes, for so many of the bytes; none:
// a chain has no place.
uint64_t gather(const std::vector<const DescriptorChain*>& chains, uint64_t bytes,
                uint32_t prefixBytes, std::vector<iovec>* segments) {
  uint64_t room = 0;
  for (const DescriptorChain* chain : chains) {
    if (room == bytes) break;
    if (chain->writableBytes <= prefixBytes) return 0;
    const size_t before = segments->size();
    const uint64_t part = std::min<uint64_t>(bytes - room, chain->writableBytes - prefixBytes);
    chain->slice(true, prefixBytes, part, segments);
    if (segments->size() > kSegmentsPerAttemptMax) {
      segments->resize(before);
      break;
    }
    room += part;
  }
  return room;
}

void writePrefixes(const std::vector<const DescriptorChain*>& chains, uint64_t bytes,
                   const Prefix& prefix) {
  uint8_t copy[Prefix::kBytesMax];
  std::memcpy(copy, prefix.base, prefix.bytes);
  for (const DescriptorChain* chain : chains) {
    if (bytes == 0) return;
    const auto part =
        static_cast<uint32_t>(std::min<uint64_t>(bytes, chain->writableBytes - prefix.bytes));
    std::memcpy(copy + prefix.lengthAt, &part, sizeof(part));
    chain->copyIn(0, copy, prefix.bytes);
    bytes -= part;
  }
}

}  // namespace

int64_t receiveScattered(int fd, const std::vector<const DescriptorChain*>& chains, uint64_t bytes,
                         const Prefix& prefix, bool whole, std::vector<iovec>* scratch) {
  scratch->clear();
  if (prefix.bytes > Prefix::kBytesMax || prefix.lengthAt + sizeof(uint32_t) > prefix.bytes) {
    return -EINVAL;
  }
  const uint64_t room = gather(chains, bytes, prefix.bytes, scratch);
  if (room == 0) return -EINVAL;
  if (whole && room < bytes) return -EMSGSIZE;
  CommandRecord command = {};
  command.code = static_cast<uint32_t>(CommandCode::kReceive);
  command.file = static_cast<uint32_t>(fd);
  command.flags = kCommandSocket;
  const int64_t got = transferOnce(command, scratch);
  if (got > 0) writePrefixes(chains, static_cast<uint64_t>(got), prefix);
  return got;
}

}  // namespace vhost
