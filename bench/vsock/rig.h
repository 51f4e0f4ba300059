// A guest connected to the daemon under test: session, rings, connections one after another.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../common/clock.h"
#include "../common/session.h"
#include "../common/vrings.h"
#include "guest.h"
#include "host-socket.h"
#include "options.h"
#include "waiter.h"

namespace bench {

constexpr uint32_t kHostPort = 5000;
constexpr uint32_t kGuestPortFirst = 100'000;
// What a Waiter says of a call; sockets have their index.
constexpr uint32_t kCalled = 0xffff'ffff;

class Rig {
 public:
  explicit Rig(const Options& options)
      : options_(options),
        session_(options.socket),
        listener_(OpenUnix(options.path + "_" + std::to_string(kHostPort), true)) {
    using namespace feature;
    session_.Negotiate(kStreamFeature, kVersion1 | kEventIdx, kQueues);
    const ConfigMessage config = session_.ReadConfig(sizeof(uint64_t));
    std::memcpy(&options_.guest.cid, config.bytes, sizeof(uint64_t));
    memory_ = std::make_unique<GuestMemory>(Guest::MemoryBytes(options_.guest));
    guest_.emplace(*memory_, options_.guest);
    session_.ShareMemory(*memory_);
    StartVrings(session_, *memory_, {&guest_->receive_ring(), &guest_->send_ring()});
    guest_->Start();
    waiter_.Watch(guest_->receive_ring().call_fd(), kCalled);
    waiter_.Watch(guest_->send_ring().call_fd(), kCalled);
  }
  ~Rig() {
    if (guest_) StopVrings(session_, kQueues);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  Guest& guest() { return *guest_; }
  Waiter& waiter() { return waiter_; }
  const FileDescriptor& listener() const { return listener_; }

  // Whether a ring has something for the driver.
  bool Called() {
    const auto has = [](DriverRing& ring) { return ring.ReadUsedIndex() != ring.last_used(); };
    return has(guest_->receive_ring()) || has(guest_->send_ring());
  }

  // Sleeps until a call or a socket, as a guest with a host program beside it would; a polling
  // driver only looks.
  template <typename Ready>
  void Wait(Ready ready) {
    if (options_.poll) {
      guest_->receive_ring().SuppressCall();
      guest_->send_ring().SuppressCall();
      waiter_.Look(ready);
      return;
    }
    // VIRTIO 1.3 §2.7.10: publish used_event, fence, look again, and only then sleep.
    guest_->receive_ring().ArmCall();
    guest_->send_ring().ArmCall();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!Called()) waiter_.Sleep(ready);
  }

  // Takes packets until done() says so; visit(header, payload) for each.
  template <typename Visit, typename Done>
  void ReceiveUntil(Visit visit, Done done) {
    const uint64_t start_ns = NowNs();
    while (!done()) {
      if (guest_->Receive(visit) > 0) continue;
      guest_->TakeSent();
      Wait([](uint32_t) {});
      if (NowNs() - start_ns > kStallNs) throw std::runtime_error("stalled: no packet for 10 s");
    }
  }

  // So many connections of the guest's, from these ports on, and their host ends in order.
  std::vector<GuestSocket> Connect(uint32_t first_port, uint32_t count,
                                   std::vector<FileDescriptor>* host) {
    std::vector<GuestSocket> sockets(count);
    for (uint32_t i = 0; i < count; ++i) {
      sockets[i].guest_port = first_port + i;
      sockets[i].host_port = kHostPort;
      guest_->SendNow(sockets[i], Op::kRequest);
    }
    uint32_t open = 0;
    ReceiveUntil(
        [&](const PacketHeader& header, const uint8_t*) {
          const uint32_t index = header.destination_port - first_port;
          if (header.op != Op::kResponse || index >= count)
            throw std::runtime_error("REQUEST was answered with op " +
                                     std::to_string(static_cast<int>(header.op)));
          guest_->Note(sockets[index], header);
          host->push_back(Accept(listener_));
          open++;
        },
        [&] { return open == count; });
    return sockets;
  }

 private:
  static constexpr uint32_t kQueues = 2;  // QEMU keeps the event queue for itself
  static constexpr uint64_t kStreamFeature = 1;
  static constexpr uint64_t kStallNs = 10'000'000'000;

  Options options_;
  Session session_;
  FileDescriptor listener_;
  std::unique_ptr<GuestMemory> memory_;
  std::optional<Guest> guest_;
  Waiter waiter_;
};

}  // namespace bench
