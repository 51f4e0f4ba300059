// The one memory region the load generator shares: a memfd, handed out front to back.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace bench {

class GuestMemory {
 public:
  // Far from any user address, so a back-end that mixes up the two address spaces fails at once.
  static constexpr uint64_t kGuestBase = 0x1'0000'0000;

  explicit GuestMemory(uint64_t size_bytes) : size_bytes_(RoundUp(size_bytes, 2u << 20)) {
    fd_ = memfd_create("bench-guest-memory", MFD_CLOEXEC);
    if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(size_bytes_)) != 0) Fail("memfd");
    void* base =
        mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
    if (base == MAP_FAILED) Fail("mmap");
    base_ = static_cast<uint8_t*>(base);
  }
  ~GuestMemory() {
    munmap(base_, size_bytes_);
    close(fd_);
  }
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  uint8_t* Allocate(uint64_t length_bytes, uint64_t alignment) {
    used_bytes_ = RoundUp(used_bytes_, alignment);
    if (used_bytes_ + length_bytes > size_bytes_) throw std::runtime_error("guest memory is full");
    uint8_t* start = base_ + used_bytes_;
    used_bytes_ += length_bytes;
    return start;
  }

  uint64_t GuestAddress(const void* pointer) const {
    return kGuestBase + static_cast<uint64_t>(static_cast<const uint8_t*>(pointer) - base_);
  }
  uint64_t UserAddress(const void* pointer) const { return reinterpret_cast<uint64_t>(pointer); }
  uint64_t size_bytes() const { return size_bytes_; }
  const uint8_t* base() const { return base_; }
  int fd() const { return fd_; }

 private:
  static uint64_t RoundUp(uint64_t value, uint64_t step) {
    return (value + step - 1) / step * step;
  }
  [[noreturn]] static void Fail(const char* what) {
    throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  }

  int fd_ = -1;
  uint8_t* base_ = nullptr;
  uint64_t size_bytes_;
  uint64_t used_bytes_ = 0;
};

}  // namespace bench
