// Several sources, or several sinks, in turns.
#pragma once

#include <cstdint>
#include <deque>

#include "host-socket.h"
#include "waiter.h"

namespace bench {

template <typename Endpoint>
class Pump {
 public:
  Pump(Waiter& waiter, uint32_t piece_bytes) : waiter_(waiter), piece_bytes_(piece_bytes) {}

  // `id` is what the waiter says when the socket becomes ready again.
  void Add(int fd, uint32_t id) {
    if (ends_.empty()) first_id_ = id;
    ends_.push_back({Endpoint(fd, piece_bytes_), true});
    waiter_.Watch(fd, id);
  }

  void Wake(uint32_t id) {
    if (id - first_id_ < ends_.size()) ends_[id - first_id_].ready = true;
  }

  // One piece of each that is ready; the bytes.
  uint64_t Round() {
    uint64_t total = 0;
    for (End& end : ends_) {
      if (!end.ready) continue;
      const uint32_t moved = end.endpoint.Step();
      end.ready = moved > 0;
      total += moved;
    }
    return total;
  }

 private:
  struct End {
    Endpoint endpoint;
    bool ready;
  };

  Waiter& waiter_;
  uint32_t piece_bytes_;
  uint32_t first_id_ = 0;
  std::deque<End> ends_;
};

}  // namespace bench
