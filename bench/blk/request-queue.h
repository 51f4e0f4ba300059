// One virtqueue full of virtio-blk requests: builds them, checks what comes back, sends the next.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../common/clock.h"
#include "../common/driver-ring.h"
#include "../common/latency-histogram.h"
#include "options.h"

namespace bench {

// First and last eight bytes of every 4 KiB block of the image: its number under this tag.
constexpr uint64_t kPatternTag = 0x7674'7362'0000'0000;

struct Counters {
  LatencyHistogram latency;
  uint64_t measure_from_ns = ~uint64_t{0};  // requests submitted earlier are not latency samples
  uint64_t completed = 0;
  uint64_t kicks = 0;
  uint64_t sleeps = 0;
};

class RequestQueue {
 public:
  // Bytes of guest memory one queue needs, alignment losses included.
  static uint64_t MemoryBytes(const Options& options) {
    const uint64_t rings = 26ull * options.ring_entries + 4 * 4096;
    return rings + options.depth * (uint64_t{options.block_bytes} + kBlockBytes + kSlotBytes) +
           4096;
  }

  RequestQueue(const Options& options, GuestMemory& memory, uint32_t index, uint64_t first_block,
               uint64_t block_count)
      : options_(options),
        memory_(memory),
        ring_(memory, options.ring_entries),
        first_block_(first_block),
        block_count_(block_count),
        random_(0x9e3779b97f4a7c15ull * (index + 1)),
        slots_(options.depth) {
    if (block_count == 0) throw std::runtime_error("--size is smaller than one request per queue");
    for (Slot& slot : slots_) {
      slot.request = reinterpret_cast<Request*>(memory.Allocate(kSlotBytes, kSlotBytes));
      slot.data = memory.Allocate(options.block_bytes, kBlockBytes);
    }
    pushed_.reserve(options.depth);
  }

  DriverRing& ring() { return ring_; }
  uint32_t in_flight() const { return in_flight_; }

  void Start(Counters& counters) {
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) Prepare(slot);
    Submit(counters);
  }

  // Takes every used element there is and, unless stopping, sends as many new requests.
  uint32_t Service(Counters& counters, bool stopping) {
    const uint16_t used_index = ring_.ReadUsedIndex();
    const auto count = static_cast<uint16_t>(used_index - ring_.last_used());
    if (count == 0) return 0;
    if (count > in_flight_)
      throw std::runtime_error("used index moved past what was made available");
    const uint64_t now_ns = NowNs();
    for (uint16_t i = 0; i < count; ++i) {
      const uint32_t index = Finish(now_ns, counters);
      if (!stopping) Prepare(index);
    }
    if (!stopping) Submit(counters);
    return count;
  }

 private:
  struct Request {  // guest-visible parts of one request, each on its own cache line
    struct {
      uint32_t type;
      uint32_t reserved;
      uint64_t sector;
      uint8_t padding[48];
    } header;
    Descriptor table[4];
    uint8_t status;
    uint8_t padding[63];
  };
  static constexpr uint32_t kSlotBytes = 256;
  static_assert(sizeof(Request) <= kSlotBytes);

  struct Slot {
    Request* request = nullptr;
    uint8_t* data = nullptr;
    uint64_t submitted_ns = 0;
    uint64_t block = 0;  // first 4 KiB block of the request
    bool in_flight = false;
  };

  uint64_t NextBlock() {
    const uint64_t per_request = options_.block_bytes / kBlockBytes;
    if (options_.sequential()) {
      const uint64_t at = cursor_;
      cursor_ = (cursor_ + 1) % block_count_;
      return first_block_ + at * per_request;
    }
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    const uint64_t draw = (random_ * 0x2545f4914f6cdd1dull) >> 32;
    return first_block_ + ((draw * block_count_) >> 32) * per_request;
  }

  void Prepare(uint32_t index) {
    Slot& slot = slots_[index];
    slot.block = NextBlock();
    slot.in_flight = true;
    ++in_flight_;
    if (options_.writes()) StampPattern(slot);
    Request& request = *slot.request;
    request.header.type = options_.writes() ? 1 : 0;
    request.header.reserved = 0;
    request.header.sector = slot.block * (kBlockBytes / 512);
    request.status = 0xff;
    const uint16_t head =
        static_cast<uint16_t>(options_.indirect ? index : index * kDescriptorsPerChain);
    // Descriptors are written anew each time, as a driver does: the device must fetch them.
    Descriptor* chain = options_.indirect ? request.table : ring_.descriptors() + head;
    const uint16_t first = options_.indirect ? 0 : head;
    const uint16_t data_flags = options_.writes() ? kNext : kNext | kWrite;
    chain[0] = {memory_.GuestAddress(&request.header), 16, kNext, static_cast<uint16_t>(first + 1)};
    chain[1] = {memory_.GuestAddress(slot.data), options_.block_bytes, data_flags,
                static_cast<uint16_t>(first + 2)};
    chain[2] = {memory_.GuestAddress(&request.status), 1, kWrite, 0};
    if (options_.indirect) {
      ring_.descriptors()[head] = {memory_.GuestAddress(request.table),
                                   kDescriptorsPerChain * sizeof(Descriptor), kIndirect, 0};
    }
    ring_.Push(head);
    pushed_.push_back(index);
  }

  void Submit(Counters& counters) {
    const uint64_t now_ns = NowNs();
    for (const uint32_t index : pushed_) slots_[index].submitted_ns = now_ns;
    pushed_.clear();
    if (!ring_.Publish()) return;
    ring_.Kick();
    ++counters.kicks;
  }

  uint32_t Finish(uint64_t now_ns, Counters& counters) {
    const UsedElement element = ring_.PopUsed();
    const uint32_t step = options_.indirect ? 1 : kDescriptorsPerChain;
    const uint32_t index = element.id / step;
    if (element.id % step != 0 || index >= slots_.size() || !slots_[index].in_flight)
      throw std::runtime_error("used element names head " + std::to_string(element.id) +
                               ", which is not in flight");
    Slot& slot = slots_[index];
    if (slot.request->status != 0)
      throw std::runtime_error("status " + std::to_string(slot.request->status) + " at sector " +
                               std::to_string(slot.request->header.sector));
    const uint32_t expected = options_.writes() ? 1 : options_.block_bytes + 1;
    if (element.length_bytes != expected)
      throw std::runtime_error("used length " + std::to_string(element.length_bytes) + ", not " +
                               std::to_string(expected));
    if (options_.verify && !options_.writes()) CheckPattern(slot);
    if (slot.submitted_ns >= counters.measure_from_ns)
      counters.latency.Record(now_ns - slot.submitted_ns);
    ++counters.completed;
    slot.in_flight = false;
    --in_flight_;
    return index;
  }

  // Writes keep the pattern, so that later reads of the same image can still be checked.
  void StampPattern(const Slot& slot) const {
    for (uint32_t at = 0; at < options_.block_bytes; at += kBlockBytes) {
      const uint64_t tagged = kPatternTag | (slot.block + at / kBlockBytes);
      std::memcpy(slot.data + at, &tagged, 8);
      std::memcpy(slot.data + at + kBlockBytes - 8, &tagged, 8);
    }
  }

  void CheckPattern(const Slot& slot) const {
    for (uint32_t at = 0; at < options_.block_bytes; at += kBlockBytes) {
      const uint64_t tagged = kPatternTag | (slot.block + at / kBlockBytes);
      uint64_t first;
      uint64_t last;
      std::memcpy(&first, slot.data + at, 8);
      std::memcpy(&last, slot.data + at + kBlockBytes - 8, 8);
      if (first != tagged || last != tagged)
        throw std::runtime_error("data mismatch in block " +
                                 std::to_string(slot.block + at / kBlockBytes));
    }
  }

  const Options& options_;
  const GuestMemory& memory_;
  DriverRing ring_;
  uint64_t first_block_;
  uint64_t block_count_;  // in requests, not in 4 KiB blocks
  uint64_t random_;
  uint64_t cursor_ = 0;
  uint32_t in_flight_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> pushed_;
};

}  // namespace bench
