#include "driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "check.h"

namespace vhost::test {
namespace {

constexpr uint64_t kUserBase = 0x700000000000;
// The region begins off a page boundary, so that canary bytes share pages with it.
constexpr uint64_t kCanaryBytes = 4096 - 256;
constexpr uint8_t kCanary = 0xc5;

}  // namespace

SharedFile::SharedFile(uint64_t bytes, unsigned memfdFlags) : bytes_(bytes) {
  fd_ = memfd_create("vhost-test", MFD_CLOEXEC | memfdFlags);
  CHECK(fd_ >= 0);
  CHECK(ftruncate(fd_, static_cast<off_t>(bytes)) == 0);
  if (bytes == 0) return;
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  CHECK(mapped != MAP_FAILED);
  data_ = static_cast<uint8_t*>(mapped);
}

SharedFile::~SharedFile() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (fd_ >= 0) close(fd_);
}

void SharedFile::truncate(uint64_t bytes) const {
  CHECK(ftruncate(fd_, static_cast<off_t>(bytes)) == 0);
}

TemporaryFile::TemporaryFile(uint64_t bytes, int openFlags) {
  const char* directory = std::getenv("TMPDIR");
  std::string path = std::string(directory == nullptr ? "/tmp" : directory) + "/vhost-XXXXXX";
  const int made = mkstemp(path.data());
  CHECK(made >= 0);
  fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC | openFlags);
  unlink(path.c_str());
  close(made);
  CHECK(fd_ >= 0);
  CHECK(ftruncate(fd_, static_cast<off_t>(bytes)) == 0);
}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) close(fd_);
}

// Through an aligned buffer, because the file may be open for O_DIRECT.
void TemporaryFile::fill(uint64_t offset, uint64_t bytes, uint8_t seed) const {
  auto* buffer = static_cast<uint8_t*>(std::aligned_alloc(4096, (bytes + 4095) & ~4095ull));
  for (uint64_t i = 0; i < bytes; i++) buffer[i] = patternByte(i, seed);
  const ssize_t written = pwrite(fd_, buffer, bytes, static_cast<off_t>(offset));
  std::free(buffer);
  CHECK_EQ(written, bytes);
}

std::vector<uint8_t> TemporaryFile::read(uint64_t offset, uint64_t bytes) const {
  auto* buffer = static_cast<uint8_t*>(std::aligned_alloc(4096, (bytes + 4095) & ~4095ull));
  const ssize_t got = pread(fd_, buffer, bytes, static_cast<off_t>(offset));
  std::vector<uint8_t> result(buffer, buffer + (got < 0 ? 0 : got));
  std::free(buffer);
  return result;
}

uint64_t TemporaryFile::size() const {
  struct stat status;
  CHECK(fstat(fd_, &status) == 0);
  return static_cast<uint64_t>(status.st_size);
}

uint8_t patternByte(uint64_t i, uint8_t seed) {
  return static_cast<uint8_t>((i * 31 + i / 509 + seed) % 251);
}

Driver::Driver(const DriverOptions& options)
    : options_(options),
      file_(options.memoryBytes + 2 * kCanaryBytes),
      avail_(options.base),
      used_(options.base) {
  std::memset(file_.data(), kCanary, kCanaryBytes);
  std::memset(file_.data() + kCanaryBytes + options.memoryBytes, kCanary, kCanaryBytes);
  int error = 0;
  memory_ = GuestMemory().with(file_.fd(), region(), &error);
  CHECK_EQ(error, 0);
  if (options.packed) {
    made_.resize(options.size);
    uint8_t* events = host(options_.guestAddress) + availOffset();
    packed_.emplace(host(options_.guestAddress), events, events + 4, options.size, options.base,
                    options.eventIdx);
    return;
  }
  setAvailIndex(avail_);
  setUsedIndex(used_);
  setUsedEvent(used_);
}

RegionDescription Driver::region() const {
  return {options_.guestAddress, kUserBase, options_.memoryBytes, kCanaryBytes};
}

RingAddresses Driver::addresses() const {
  const uint64_t usedAt = options_.packed ? availOffset() + 4 : usedOffset();
  return {kUserBase, kUserBase + availOffset(), kUserBase + usedAt};
}

uint32_t Driver::base() const {
  return options_.packed ? uint32_t{options_.base} << 16 | options_.base : options_.base;
}

int Driver::start(SplitRing* ring) const {
  return ring->start(memory_, options_.size, addresses(), options_.base, options_.eventIdx);
}

int Driver::start(PackedRing* ring) const {
  return ring->start(memory_, options_.size, addresses(), base(), options_.eventIdx);
}

uint64_t Driver::usedOffset() const {
  return (availOffset() + 6 + uint64_t{options_.size} * 2 + 3) & ~3ull;
}

uint64_t Driver::heap() const {
  const uint64_t offset = usedOffset() + 6 + uint64_t{options_.size} * 8;
  return options_.guestAddress + ((offset + 4095) & ~4095ull);
}

uint8_t* Driver::host(uint64_t guestAddress) const {
  return file_.data() + kCanaryBytes + (guestAddress - options_.guestAddress);
}

void Driver::fill(uint64_t guestAddress, uint64_t bytes, uint8_t seed) const {
  for (uint64_t i = 0; i < bytes; i++) host(guestAddress)[i] = patternByte(i, seed);
}

bool Driver::matches(uint64_t guestAddress, uint64_t bytes, uint8_t seed) const {
  for (uint64_t i = 0; i < bytes; i++) {
    if (host(guestAddress)[i] != patternByte(i, seed)) return false;
  }
  return true;
}

bool Driver::canariesIntact() const {
  for (uint64_t i = 0; i < kCanaryBytes; i++) {
    if (file_.data()[i] != kCanary || host(end())[i] != kCanary) return false;
  }
  return true;
}

void Driver::setDescriptor(uint32_t index, const Descriptor& descriptor) const {
  if (options_.packed) {
    made_.at(index) = descriptor;
    return;
  }
  std::memcpy(host(options_.guestAddress) + index * 16, &descriptor, sizeof descriptor);
}

void Driver::writeTable(uint64_t guestAddress, const std::vector<Descriptor>& table) const {
  std::memcpy(host(guestAddress), table.data(), table.size() * sizeof(Descriptor));
}

uint16_t Driver::chain(uint16_t first, const std::vector<Buffer>& buffers) const {
  uint16_t index = first;
  for (const Buffer& buffer : buffers) {
    const bool last = &buffer == &buffers.back();
    const auto flags = static_cast<uint16_t>((buffer.writable ? kWrite : 0) | (last ? 0 : kNext));
    const auto next = static_cast<uint16_t>(last ? 0 : index + 1);
    setDescriptor(index, {buffer.address, buffer.length, flags, next});
    index++;
  }
  return first;
}

uint16_t Driver::indirect(uint16_t first, uint64_t table,
                          const std::vector<Buffer>& buffers) const {
  std::vector<Descriptor> entries;
  for (const Buffer& buffer : buffers) {
    const bool last = &buffer == &buffers.back();
    const uint16_t writable = buffer.writable ? kWrite : 0;
    if (options_.packed) {  // §2.8.7: the last two fields are id and flags, and there is no NEXT
      entries.push_back({buffer.address, buffer.length, 0, writable});
      continue;
    }
    const auto flags = static_cast<uint16_t>(writable | (last ? 0 : kNext));
    const auto next = static_cast<uint16_t>(last ? 0 : entries.size() + 1);
    entries.push_back({buffer.address, buffer.length, flags, next});
  }
  writeTable(table, entries);
  setDescriptor(first, {table, static_cast<uint32_t>(entries.size() * 16), kIndirect, 0});
  return first;
}

std::vector<PackedDescriptor> Driver::packedChain(uint16_t head) const {
  std::vector<PackedDescriptor> chain;
  for (uint16_t index = head;; index = made_.at(index).next) {
    const Descriptor& from = made_.at(index);
    chain.push_back({from.address, from.length, head, from.flags});
    if (!(from.flags & kNext)) return chain;
  }
}

void Driver::askForCall() {
  if (packed_) {
    packed_->askForCall();
  } else {
    setUsedEvent(usedIndex());
  }
}

void Driver::offer(uint16_t head) {
  if (packed_) {
    packed_->offer(packedChain(head));
    return;
  }
  store<uint16_t>(availOffset() + 4 + (avail_ & (options_.size - 1)) * 2, head);
  setAvailIndex(static_cast<uint16_t>(avail_ + 1));
}

void Driver::setAvailIndex(uint16_t index) {
  avail_ = index;
  store<uint16_t>(availOffset() + 2, index);
}

void Driver::setAvailFlags(uint16_t flags) const {
  store<uint16_t>(availOffset(), flags);
}

void Driver::setUsedEvent(uint16_t index) const {
  store<uint16_t>(availOffset() + 4 + options_.size * 2, index);
}

uint16_t Driver::availEvent() const {
  return load<uint16_t>(usedOffset() + 4 + options_.size * 8);
}

uint16_t Driver::usedFlags() const {
  return load<uint16_t>(usedOffset());
}

uint16_t Driver::usedIndex() const {
  return load<uint16_t>(usedOffset() + 2);
}

void Driver::setUsedIndex(uint16_t index) const {
  store<uint16_t>(usedOffset() + 2, index);
}

bool Driver::takeUsed(Used* used) {
  if (packed_) return packed_->takeUsed(used);
  if (usedIndex() == used_) return false;
  const uint64_t at = usedOffset() + 4 + (used_ & (options_.size - 1)) * 8;
  *used = {load<uint32_t>(at), load<uint32_t>(at + 4)};
  used_++;
  return true;
}

template <typename T>
T Driver::load(uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<T*>(host(options_.guestAddress + offset)),
                         __ATOMIC_SEQ_CST);
}

template <typename T>
void Driver::store(uint64_t offset, T value) const {
  __atomic_store_n(reinterpret_cast<T*>(host(options_.guestAddress + offset)), value,
                   __ATOMIC_SEQ_CST);
}

}  // namespace vhost::test
