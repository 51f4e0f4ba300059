// How a chain that was popped is shown to TypeScript.
#ifndef VHOST_CORE_REQUEST_RECORD_H_
#define VHOST_CORE_REQUEST_RECORD_H_

#include <cstdint>
#include <cstring>

#include "descriptor-chain.h"
#include "exchange.h"

namespace vhost {

inline void fillRecord(const DescriptorChain& chain, uint32_t token, uint32_t headerBytes,
                       RequestRecord* record) {
  record->chain = token;
  record->readableBytes = chain.readableBytes;
  record->writableBytes = chain.writableBytes;
  const uint64_t copied = chain.copyOut(0, record->header, headerBytes);
  // A short request shows nothing of an earlier one, perhaps another guest's (RG-049).
  std::memset(record->header + copied, 0, kHeaderBytesMax - copied);
}

}  // namespace vhost

#endif  // VHOST_CORE_REQUEST_RECORD_H_
