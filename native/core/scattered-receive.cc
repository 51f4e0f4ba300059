#include "scattered-receive.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "operation.h"
#include "transfer.h"

namespace vhost {
namespace {

// The places behind the prefixes, as many as one system call takes; false: a chain has none.
bool gather(const std::vector<const DescriptorChain*>& chains, uint64_t bytes, uint32_t prefixBytes,
            std::vector<iovec>* segments) {
  for (const DescriptorChain* chain : chains) {
    if (bytes == 0) break;
    if (chain->writableBytes <= prefixBytes) return false;
    const size_t before = segments->size();
    const uint64_t part = std::min<uint64_t>(bytes, chain->writableBytes - prefixBytes);
    chain->slice(true, prefixBytes, part, segments);
    if (segments->size() > kSegmentsPerAttemptMax) {
      if (before == 0) return false;
      segments->resize(before);
      break;
    }
    bytes -= part;
  }
  return !segments->empty();
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
                         const Prefix& prefix, std::vector<iovec>* scratch) {
  scratch->clear();
  if (prefix.bytes > Prefix::kBytesMax || prefix.lengthAt + sizeof(uint32_t) > prefix.bytes) {
    return -EINVAL;
  }
  if (!gather(chains, bytes, prefix.bytes, scratch)) return -EINVAL;
  CommandRecord command = {};
  command.code = static_cast<uint32_t>(CommandCode::kReceive);
  command.file = static_cast<uint32_t>(fd);
  command.flags = kCommandSocket;
  const int64_t got = transferOnce(command, scratch);
  if (got > 0) writePrefixes(chains, static_cast<uint64_t>(got), prefix);
  return got;
}

}  // namespace vhost
