// The table of I/O translations against a model that knows a few hundred addresses one by one.
#include <array>
#include <optional>

#include "input.h"
#include "iotlb.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

// The first addresses, some in the middle, the last.
constexpr uint64_t kWindowBytes = 24;
constexpr std::array<uint64_t, 3> kWindows = {0, uint64_t{1} << 40, UINT64_MAX - kWindowBytes + 1};

struct Known {
  uint64_t target;
  uint8_t permissions;
};

class Model {
 public:
  static uint64_t address(size_t point) {
    return kWindows[point / kWindowBytes] + point % kWindowBytes;
  }
  static constexpr size_t kPoints = kWindows.size() * kWindowBytes;

  void cut(const IoRange& range) {
    for (size_t i = 0; i < kPoints; i++) {
      if (range.holds(address(i))) known_[i].reset();
    }
  }
  void set(const IotlbEntry& entry) {
    for (size_t i = 0; i < kPoints; i++) {
      if (!entry.range.holds(address(i))) continue;
      known_[i] = {entry.target + (address(i) - entry.range.first), entry.permissions};
    }
  }
  void compare(const Iotlb& table) const {
    for (size_t i = 0; i < kPoints; i++) {
      const IotlbEntry* entry = table.find(address(i));
      REQUIRE((entry != nullptr) == known_[i].has_value());
      if (entry == nullptr) continue;
      REQUIRE(entry->range.holds(address(i)));
      REQUIRE(entry->target + (address(i) - entry->range.first) == known_[i]->target);
      REQUIRE(entry->permissions == known_[i]->permissions);
    }
  }

 private:
  std::array<std::optional<Known>, kPoints> known_;
};

IoRange range(Input* input) {
  const uint64_t a = Model::address(input->byte() % Model::kPoints);
  const uint64_t b = Model::address(input->byte() % Model::kPoints);
  return {a < b ? a : b, a < b ? b : a};
}

// More entries than the table holds: the oldest go, and it stays sound.
void overfill(Iotlb table) {
  auto full = std::make_shared<const Iotlb>(table);
  for (uint64_t i = 0; i <= Iotlb::kEntriesMax; i++) {
    full = full->with({{(i + 1) << 20, (i + 1) << 20 | 7}, i, kIotlbRead});
    REQUIRE(full->size() <= Iotlb::kEntriesMax);
    const IotlbEntry* last = full->find((i + 1) << 20 | 7);
    REQUIRE(last != nullptr && last->target == i);
  }
}

void run(const uint8_t* data, size_t bytes) {
  Input input(data, bytes);
  auto table = std::make_shared<const Iotlb>();
  Model model;
  while (!input.empty()) {
    const uint8_t what = input.byte();
    const IoRange where = range(&input);
    if (what & 1) {
      const IotlbEntry entry{where, input.qword(), static_cast<uint8_t>(1 + (what >> 1 & 1))};
      table = table->with(entry);
      model.set(entry);
      REQUIRE(table->says(entry));
    } else {
      table = table->without(where);
      model.cut(where);
    }
    model.compare(*table);
    // Rarely: it takes a thousand times as long as the rest.
    if (what == 0xaa && input.dword() == 0x12345678) return overfill(*table);
  }
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
