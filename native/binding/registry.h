// Objects of the core by number: a number crosses threads where a JavaScript object can't. Each
// number is one owner; workers hold the object itself while they use it.
#ifndef VHOST_BINDING_REGISTRY_H_
#define VHOST_BINDING_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace vhost {

template <typename T>
class Registry {
 public:
  // Never 0, which stands for none. Signed, as it is often answered in place of -errno.
  int64_t add(std::shared_ptr<T> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint32_t id = nextId_++;
    objects_[id] = std::move(object);
    return id;
  }

  // nullptr for 0, and for one that was released.
  std::shared_ptr<T> get(uint32_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto place = objects_.find(id);
    return place == objects_.end() ? nullptr : place->second;
  }

  void release(uint32_t id) {
    std::shared_ptr<T> last;  // unmapped outside the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto place = objects_.find(id);
    if (place == objects_.end()) return;
    last = std::move(place->second);
    objects_.erase(place);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<T>> objects_;
  uint32_t nextId_ = 1;
};

}  // namespace vhost

#endif  // VHOST_BINDING_REGISTRY_H_
