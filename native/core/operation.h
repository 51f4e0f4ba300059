// One I/O operation between host file and guest memory, from the command that asks for it to its
// result: cut into attempts the kernel can take, continued after short ones, bounced when the file
// is open for O_DIRECT and the guest's buffers are not aligned for it.
#ifndef VHOST_CORE_OPERATION_H_
#define VHOST_CORE_OPERATION_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

namespace vhost {

enum class OperationCode : uint32_t {
  kRead = 1,        // file -> writable part of a chain
  kWrite = 2,       // readable part of a chain -> file
  kSync = 3,        // fdatasync
  kAllocate = 4,    // fallocate with `mode`
  kWriteZeros = 5,  // explicit zeroes, where fallocate can't
};

// IOV_MAX: one system call takes no more segments (BK-015).
constexpr size_t kSegmentsPerAttemptMax = 1024;
// A free operation keeps no more room than this: each could be made to hold the longest chain in
// turn, a megabyte for every request a guest ever had in flight (RG-026).
constexpr size_t kSegmentsKeptByOperation = kSegmentsPerAttemptMax;
// One bounced attempt; a longer operation is done in several.
constexpr uint64_t kBounceBytes = uint64_t{1} << 20;
// Bounds what a guest with unaligned buffers can make us allocate: 32 MiB for each worker.
constexpr size_t kBounceBuffersMax = 32;

struct Operation {
  // What is asked.
  OperationCode code = OperationCode::kRead;
  uint32_t file = 0;
  int fd = -1;
  uint32_t directAlign = 0;  // 0: page cache; else O_DIRECT with this alignment in bytes
  uint64_t offset = 0;
  uint64_t remaining = 0;
  bool durable = false;  // RWF_DSYNC
  int mode = 0;
  std::vector<iovec> segments;
  size_t firstSegment = 0;

  // Who asked, and how to finish (the command, unchanged).
  uint32_t chain = 0;
  uint32_t tag = 0;
  uint32_t commandFlags = 0;
  uint32_t tailOffset = 0;
  uint32_t tailByte = 0;
  uint32_t usedLength = 0;

  // The attempt under way: what the engine hands to the kernel.
  const iovec* attemptSegments = nullptr;
  uint32_t attemptCount = 0;
  iovec bounceSegment{};
  uint8_t* bounce = nullptr;
  bool counted = false;
  int attemptResult = 0;  // bytes or -errno

  Operation* next = nullptr;

  void reset();
};

class BouncePool {
 public:
  ~BouncePool();
  uint8_t* take();  // nullptr: all in use, try again after a give()
  void give(uint8_t* buffer);

 private:
  std::vector<uint8_t*> free_;
  size_t allocated_ = 0;
};

enum class Attempt { kReady, kWaitForBounce };
enum class Progress { kAgain, kDone };

// Sets up the next attempt of an operation that is not done.
Attempt prepareAttempt(Operation* op, BouncePool* pool);

// Takes the attempt's result into account. kDone: *result is 0 or -errno; a transfer is done only
// when every byte moved, so an end of file before that is -EIO (BK-024).
Progress finishAttempt(Operation* op, BouncePool* pool, int* result);

}  // namespace vhost

#endif  // VHOST_CORE_OPERATION_H_
