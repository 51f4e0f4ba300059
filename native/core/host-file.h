// Questions about descriptors that Node's fs does not answer: what kind they are, locks, block
// devices, O_DIRECT alignment. All return a value or -errno.
#ifndef VHOST_CORE_HOST_FILE_H_
#define VHOST_CORE_HOST_FILE_H_

#include <cstdint>

namespace vhost {

enum class FdKind : int32_t {
  kOther = 0,
  kEventfd = 1,
  kRegular = 2,  // also memfd
  kSocket = 3,
  kPipe = 4,
  kBlockDevice = 5,
};

int32_t fdKind(int fd);

// A full counter or pipe must never block us (CS-037). The flag is shared with the peer;
// qemu-storage-daemon sets it too, so front-ends live with it.
void makeNonBlocking(int fd);

// May a front-end's file be mapped read-write up to endBytes? mmap of more than the file holds
// succeeds and faults later (CS-076). -EBADF (no regular file), -EACCES (not read-write), or
// -EOVERFLOW (too short).
int checkSharedFile(int fd, uint64_t endBytes);

int createEventfd(uint32_t initial);
// Adds one to an eventfd without ever blocking: a full counter is signalled already.
int signalEventfd(int fd);
int64_t readEventfd(int fd);

// A timer that becomes readable; firstMs 0 disarms it, intervalMs 0 lets it expire once.
int createTimer();
int armTimer(int fd, uint32_t firstMs, uint32_t intervalMs);

// Anonymous shared memory that can't be resized once made.
int createMemfd(const char* name, uint64_t bytes);

// Open-file-description lock on [start, start + bytes), bytes 0: to the end. Never waits.
int lockRange(int fd, bool exclusive, int64_t start, int64_t bytes);
int unlockRange(int fd, int64_t start, int64_t bytes);
// 1 when somebody else's lock conflicts with such a lock, else 0.
int probeLock(int fd, bool exclusive, int64_t start, int64_t bytes);

// Size in bytes of a block device; its logical block in *logicalBlockBytes.
int64_t blockDeviceBytes(int fd, uint32_t* logicalBlockBytes);

// What O_DIRECT wants of file offsets and of memory addresses on this file; 4096 where the kernel
// does not say.
uint32_t directAlignment(int fd);

}  // namespace vhost

#endif  // VHOST_CORE_HOST_FILE_H_
