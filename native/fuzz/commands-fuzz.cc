// What a device may order, sense and nonsense: commands for chains of a split and a packed ring,
// one behind another as TypeScript gives them to a turn of the data plane.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "data-plane.h"
#include "driver-side.h"
#include "guest.h"
#include "input.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

constexpr uint32_t kHeaderBytes = 16;
constexpr uint64_t kFileBytes = 0x8000;
constexpr size_t kArenaBytes = 600;
constexpr uint32_t kQueue = 3;
constexpr int kTurnsMax = 10000;

// Files of a size nobody changes: an order for terabytes must not fill the machine's memory.
int sealedFile() {
  const int fd = memfd_create("vhost-fuzz-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(fd >= 0 && ftruncate(fd, kFileBytes) == 0);
  REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
  return fd;
}

// Made once: an io_uring takes longer to make than a run.
class Device {
 public:
  Device() : exchange(std::make_unique<Exchange>()), arena(new uint8_t[kArenaBytes]()) {
    int error = 0;
    const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    plane = DataPlane::create({true, wake, 0, kHeaderBytes, exchange.get()}, &error);
    if (plane == nullptr) {
      plane = DataPlane::create({false, wake, 0, kHeaderBytes, exchange.get()}, &error);
    }
    REQUIRE(plane != nullptr);
    REQUIRE(plane->addFile(0, sealedFile(), 0) == 0);
    REQUIRE(plane->addFile(1, sealedFile(), 512) == 0);
    plane->setArena({arena.get(), kArenaBytes});
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) == 0);
  }
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<uint8_t[]> arena;
  std::unique_ptr<DataPlane> plane;
  int sockets[2];
};

template <typename DriverSide>
class Program {
 public:
  Program(Device* device, Input input) : device_(*device), input_(input) {}

  void run(uint8_t how) {
    driver_ = DriverSide(&guest_, &input_, how & 0x77);
    VringStart start{
        kQueue, driver_.size(),     driver_.addresses(false), driver_.base(), true, -1, -1,
        -1,     DriverSide::kPacked};
    REQUIRE(device_.plane->startVring(start, guest_.memory()) == 0);
    device_.plane->enableVring(kQueue, true);
    for (uint32_t i = 1 + input_.below(8); i > 0; i--) driver_.offer();
    while (!input_.empty()) step();
    leave();
  }

 private:
  void step() {
    switch (input_.below(8)) {
      case 0:
        return driver_.offer();
      case 1:
        return guest_.writeTableEntry(&input_, DriverSide::kPacked);
      case 2:
      case 3:
      case 4:
        return order();
      case 5:
        return turn();
      case 6:
        return moveNow();
      default:
        return copy();
    }
  }

  uint32_t chain() {
    const uint8_t which = input_.byte();
    if (which >= 0xf8) return input_.dword();
    return chains_.empty() ? kNoChain : chains_[which % chains_.size()];
  }

  double number() {
    const uint8_t how = input_.byte();
    if (how < 0xc0) return how * 16;
    if (how < 0xf0) return input_.word();
    const uint64_t bits = input_.qword();
    double any;
    std::memcpy(&any, &bits, sizeof any);
    return any;
  }

  CommandRecord command() {
    CommandRecord made{};
    made.code = input_.below(13);
    made.chain = chain();
    made.flags = input_.word() & 0x3ff;
    made.offset = number();
    made.length = number();
    made.chainOffset = input_.byte();
    made.tailOffset = input_.byte() & 1 ? kTailLast : input_.byte();
    made.tailByte = input_.below(32);
    made.usedLength = input_.byte();
    made.mode = input_.byte();
    made.file = input_.below(3);
    const auto code = static_cast<CommandCode>(made.code);
    if (code == CommandCode::kCopy) made.file = chain();
    // A descriptor's number is TypeScript's own and right; whatever else it names is a socket here.
    if (code == CommandCode::kSend || code == CommandCode::kReceive ||
        code == CommandCode::kReceiveFrames) {
      made.file = static_cast<uint32_t>(device_.sockets[made.file & 1]);
    }
    if (code == CommandCode::kReceiveFrames) listChains(&made);
    // Only for the one popped last: the record's order is a promise of the device's.
    if (code == CommandCode::kUnpop) made.code = static_cast<uint32_t>(CommandCode::kComplete);
    return made;
  }

  void listChains(CommandRecord* frames) {
    auto* list = reinterpret_cast<uint32_t*>(device_.arena.get());
    const size_t count = std::min<size_t>(chains_.size(), 16);
    std::copy_n(chains_.begin(), count, list);
    frames->chainOffset = input_.byte() & ~3u;
    frames->tailByte = frames->tailByte & 1 ? kHashHeaderBytes : kFrameHeaderBytes;
  }

  void order() {
    if (ordered_ < kCommandsMax) device_.exchange->commands[ordered_++] = command();
  }

  void moveNow() {
    CommandRecord made = command();
    made.code =
        static_cast<uint32_t>(input_.byte() & 1 ? CommandCode::kSend : CommandCode::kReceive);
    made.file = static_cast<uint32_t>(device_.sockets[input_.byte() & 1]);
    device_.plane->moveNow(made);
  }

  void copy() {
    std::vector<uint8_t> bytes(input_.byte());
    const uint32_t offset = input_.byte();
    const auto count = static_cast<uint32_t>(bytes.size());
    REQUIRE(device_.plane->copyOut(chain(), offset, bytes.data(), count) <= count);
    REQUIRE(device_.plane->copyIn(chain(), offset, bytes.data(), count) <= count);
  }

  void turn() {
    const uint32_t packed = device_.plane->turn(ordered_, false);
    ordered_ = 0;
    const uint32_t mask = (1u << kTurnCompletionsShift) - 1;
    const uint32_t requests = packed & mask;
    REQUIRE(requests <= kRequestsMax);
    REQUIRE((packed >> kTurnCompletionsShift & mask) <= kCompletionsMax);
    for (uint32_t i = 0; i < requests; i++) {
      const RequestRecord& request = device_.exchange->requests[i];
      REQUIRE(request.chain >> 16 == kQueue);
      chains_.push_back(request.chain);
    }
  }

  // As a worker does: no more pops, everything completed, gone.
  void leave() {
    turn();
    device_.plane->drainVring(kQueue);
    for (int i = 0; i < kTurnsMax && device_.plane->inFlight(kQueue) > 0; i++) {
      for (const uint32_t chain : std::set(chains_.begin(), chains_.end())) {
        if (ordered_ == kCommandsMax) break;
        CommandRecord done{};
        done.code = static_cast<uint32_t>(CommandCode::kComplete);
        done.chain = chain;
        device_.exchange->commands[ordered_++] = done;
      }
      turn();
    }
    // Operations whose chain was completed beside them still point into memory.
    for (int i = 0; i < 8; i++) turn();
    REQUIRE(device_.plane->endVring(kQueue) >= 0);
    uint8_t rest[1];
    for (const int socket : device_.sockets) {
      while (read(socket, rest, sizeof rest) >= 0) {
      }
    }
  }

  Device& device_;
  Input input_;
  Guest& guest_ = Guest::instance();
  DriverSide driver_;
  std::vector<uint32_t> chains_;  // that were popped, once
  uint32_t ordered_ = 0;
};

void run(const uint8_t* data, size_t bytes) {
  static Device device;
  Guest::instance().reset();
  Input input(data, bytes);
  const uint8_t how = input.byte();
  if (how & 8) {
    Program<PackedDriverSide>(&device, input).run(how);
  } else {
    Program<SplitDriverSide>(&device, input).run(how);
  }
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
