// How a chain that was popped is shown to TypeScript.
#ifndef VHOST_CORE_REQUEST_RECORD_H_
#define VHOST_CORE_REQUEST_RECORD_H_

#include <cstdint>
#include <cstring>

#include "descriptor-chain.h"
#include "exchange.h"

namespace vhost {

constexpr uint32_t kPlainHeaderBytes = 16;

inline void fillRecord(const DescriptorChain& chain, uint32_t token, uint32_t headerBytes,
                       RequestRecord* record) {
  record->chain = token;
  record->readableBytes = chain.readableBytes;
  record->writableBytes = chain.writableBytes;
  // A short request shows nothing of an earlier one, perhaps another guest's (RG-049). All of it,
  // though most is written again: of a constant length it is a few stores and no call.
  std::memset(record->header, 0, kHeaderBytesMax);
  // The same holds for the copy of what most headers are: a disk's, in one piece.
  if (headerBytes == kPlainHeaderBytes && chain.readableSegments > 0 &&
      chain.segments[0].iov_len >= kPlainHeaderBytes) {
    std::memcpy(record->header, chain.segments[0].iov_base, kPlainHeaderBytes);
    return;
  }
  chain.copyOut(0, record->header, headerBytes);
}

}  // namespace vhost

#endif  // VHOST_CORE_REQUEST_RECORD_H_
