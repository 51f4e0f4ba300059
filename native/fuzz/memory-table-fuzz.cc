// Memory tables of any regions, and every way an address is looked up in them, against what the
// descriptions say.
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "guest-memory.h"
#include "input.h"
#include "mutator.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

constexpr uint64_t kFileBytes = 0x10000;
constexpr size_t kOperationsMax = 64;

int sharedFile() {
  static const int fd = [] {
    const int made = memfd_create("vhost-fuzz-memory", MFD_CLOEXEC);
    REQUIRE(made >= 0 && ftruncate(made, kFileBytes) == 0);
    void* mapped = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
    REQUIRE(mapped != MAP_FAILED);
    mutate(static_cast<uint8_t*>(mapped), kFileBytes);
    return made;
  }();
  return fd;
}

// Near zero, near the end, or anywhere.
uint64_t address(Input* input) {
  const uint8_t how = input->byte();
  const uint64_t fine = uint64_t{how & 0x3fu} << 10;
  switch (how >> 6) {
    case 0:
      return fine;
    case 1:
      return fine + input->word();
    case 2:
      return UINT64_MAX - fine - input->byte();
    default:
      return input->qword();
  }
}

uint64_t length(Input* input) {
  const uint8_t how = input->byte();
  if (how < 0x80) return uint64_t{how} << 8;
  return how < 0xf0 ? input->word() : input->qword();
}

using Wide = unsigned __int128;  // in which no sum wraps

bool overlap(uint64_t a, uint64_t aBytes, uint64_t b, uint64_t bBytes) {
  return Wide{a} < Wide{b} + bBytes && Wide{b} < Wide{a} + aBytes;
}

class Program {
 public:
  Program(const uint8_t* data, size_t bytes) : input_(data, bytes) {}

  void run() {
    for (size_t i = 0; i < kOperationsMax && !input_.empty(); i++) {
      switch (input_.below(4)) {
        case 0:
          add();
          break;
        case 1:
          remove();
          break;
        case 2:
          lookUp();
          break;
        default:
          userToHost();
      }
    }
  }

 private:
  void add() {
    const RegionDescription wanted{address(&input_), address(&input_), length(&input_),
                                   length(&input_)};
    int error = 0;
    auto next = memory_->with(sharedFile(), wanted, &error);
    REQUIRE((next == nullptr) == (error != 0));
    if (next == nullptr) return;
    REQUIRE(wanted.sizeBytes > 0);
    REQUIRE(Wide{wanted.mmapOffset} + wanted.sizeBytes <= kFileBytes);
    REQUIRE(Wide{wanted.guestAddress} + wanted.sizeBytes <= UINT64_MAX);
    REQUIRE(Wide{wanted.userAddress} + wanted.sizeBytes <= UINT64_MAX);
    for (const RegionDescription& each : known_) {
      REQUIRE(!overlap(wanted.guestAddress, wanted.sizeBytes, each.guestAddress, each.sizeBytes));
      REQUIRE(!overlap(wanted.userAddress, wanted.sizeBytes, each.userAddress, each.sizeBytes));
    }
    memory_ = std::move(next);
    known_.push_back(wanted);
    REQUIRE(memory_->regionCount() == known_.size());
  }

  void remove() {
    if (known_.empty()) return;
    const size_t which = input_.byte() % known_.size();
    RegionDescription wanted = known_[which];
    if (input_.byte() == 0) wanted.sizeBytes ^= 1;  // one that is not there
    auto next = memory_->without(wanted);
    const bool there = wanted.sizeBytes == known_[which].sizeBytes;
    REQUIRE((next != nullptr) == there);
    if (!there) return;
    memory_ = std::move(next);
    known_.erase(known_.begin() + static_cast<ptrdiff_t>(which));
  }

  uint64_t nearKnown(bool user) {
    if (known_.empty() || input_.byte() == 0) return address(&input_);
    const RegionDescription& one = known_[input_.byte() % known_.size()];
    const uint64_t start = user ? one.userAddress : one.guestAddress;
    const uint64_t offset = input_.word();
    return input_.byte() & 1 ? start + one.sizeBytes - offset % 64 : start + offset;
  }

  // Every byte of [at, +bytes) belongs to a region.
  bool covered(uint64_t at, uint64_t bytes, bool user) const {
    Wide next = at;
    const Wide end = Wide{at} + bytes;
    for (bool found = true; found && next < end;) {
      found = false;
      for (const RegionDescription& each : known_) {
        const Wide start = user ? each.userAddress : each.guestAddress;
        if (next < start || next >= start + each.sizeBytes) continue;
        next = start + each.sizeBytes;
        found = true;
      }
    }
    return next >= end;
  }

  void lookUp() {
    const bool user = input_.byte() & 1;
    const uint64_t at = nearKnown(user);
    const uint64_t bytes = length(&input_);
    std::vector<iovec> pieces;
    const bool found =
        user ? memory_->translateUser(at, bytes, &pieces) : memory_->translate(at, bytes, &pieces);
    REQUIRE(found == covered(at, bytes, user));
    if (!found) return;
    Wide sum = 0;
    uint64_t guest = at;
    for (const iovec& piece : pieces) {
      verify(static_cast<uint8_t*>(piece.iov_base), piece.iov_len);
      if (!user) REQUIRE(memory_->hostToGuest(piece.iov_base) == guest);
      guest += piece.iov_len;
      sum += piece.iov_len;
    }
    REQUIRE(sum == bytes);
  }

  void userToHost() {
    const uint64_t at = nearKnown(true);
    const uint64_t bytes = length(&input_);
    uint8_t* host = memory_->userToHost(at, bytes);
    if (host != nullptr) verify(host, bytes);
  }

  // Inside one region; its bytes can be read and written.
  void verify(uint8_t* host, uint64_t bytes) const {
    bool inside = false;
    for (size_t i = 0; i < memory_->regionCount(); i++) {
      const MemoryRegion& region = memory_->region(i);
      const uint64_t size = region.description().sizeBytes;
      const auto offset = static_cast<uint64_t>(host - region.host());
      inside |= offset < size && bytes <= size - offset;
    }
    REQUIRE(inside);
    if (bytes > 0) host[bytes - 1] = host[0];
  }

  Input input_;
  std::shared_ptr<GuestMemory> memory_ = std::make_shared<GuestMemory>();
  std::vector<RegionDescription> known_;
};

void run(const uint8_t* data, size_t bytes) {
  Program(data, bytes).run();
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
