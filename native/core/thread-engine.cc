// The engine without io_uring: preadv2/pwritev2 on a few threads, epoll for descriptors. A read the
// page cache can answer is done at once (RWF_NOWAIT), without a thread.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "io-engine.h"

namespace vhost {
namespace {

// Enough to keep one disk busy; more only fight for two or four cores.
constexpr size_t kThreads = 4;
constexpr int kEventsMax = 64;
constexpr uint64_t kDoneToken = uint64_t{1} << 32;  // tokens of descriptors have 32 bits

int runAttempt(const Operation& op, int extraFlags) {
  const int segments = static_cast<int>(op.attemptCount);
  ssize_t result = 0;
  switch (op.code) {
    case OperationCode::kRead:
      result =
          preadv2(op.fd, op.attemptSegments, segments, static_cast<off_t>(op.offset), extraFlags);
      break;
    case OperationCode::kWrite:
    case OperationCode::kWriteZeros:
      result = pwritev2(op.fd, op.attemptSegments, segments, static_cast<off_t>(op.offset),
                        op.durable ? RWF_DSYNC : 0);
      break;
    case OperationCode::kSync:
      result = fdatasync(op.fd);
      break;
    case OperationCode::kAllocate:
      result = fallocate(op.fd, op.mode, static_cast<off_t>(op.offset),
                         static_cast<off_t>(op.remaining));
      break;
  }
  return result < 0 ? -errno : static_cast<int>(result);
}

class ThreadEngine final : public IoEngine {
 public:
  int open();
  ~ThreadEngine() override;

  int addFile(uint32_t, int) override { return 0; }
  void start(Operation* op) override;
  void submit() override;
  Operation* reap() override;
  int addPoll(int fd, uint32_t token, bool writable) override;
  void removePoll(int fd, uint32_t token) override;
  bool ready() override;
  void wait(int64_t timeoutUs) override;

 private:
  struct List {
    Operation* first = nullptr;
    Operation* last = nullptr;
    void push(Operation* op);
    Operation* pop();
    void take(List* other);
  };

  void work();
  void takeEvents(int timeoutMs);

  int epoll_ = -1;
  int done_ = -1;
  List local_;      // done without a thread
  List collected_;  // taken from finished_ at once, so that the lock is taken seldom
  List outbox_;     // to be handed over at submit()
  std::mutex mutex_;
  std::condition_variable wake_;
  List pending_;   // guarded by mutex_
  List finished_;  // guarded by mutex_
  bool stopping_ = false;
  std::atomic<bool> finishedAny_{false};
  std::vector<std::thread> threads_;
};

void ThreadEngine::List::push(Operation* op) {
  op->next = nullptr;
  (first == nullptr ? first : last->next) = op;
  last = op;
}

Operation* ThreadEngine::List::pop() {
  Operation* op = first;
  if (op != nullptr) first = op->next;
  return op;
}

void ThreadEngine::List::take(List* other) {
  if (other->first == nullptr) return;
  (first == nullptr ? first : last->next) = other->first;
  last = other->last;
  *other = List();
}

int ThreadEngine::open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  done_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll_ < 0 || done_ < 0) return -errno;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kDoneToken;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, done_, &event) != 0) return -errno;
  for (size_t i = 0; i < kThreads; i++) threads_.emplace_back([this] { work(); });
  return 0;
}

ThreadEngine::~ThreadEngine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  if (epoll_ >= 0) close(epoll_);
  if (done_ >= 0) close(done_);
}

void ThreadEngine::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || pending_.first != nullptr; });
    Operation* op = pending_.pop();
    if (op == nullptr) return;  // stopping, and nothing is left to do
    lock.unlock();
    op->attemptResult = runAttempt(*op, 0);
    lock.lock();
    finished_.push(op);
    if (!finishedAny_.exchange(true)) eventfd_write(done_, 1);
  }
}

void ThreadEngine::start(Operation* op) {
  if (op->code == OperationCode::kRead && op->directAlign == 0) {
    const int result = runAttempt(*op, RWF_NOWAIT);
    if (result > 0) {
      op->attemptResult = result;
      local_.push(op);
      return;
    }
  }
  outbox_.push(op);
}

void ThreadEngine::submit() {
  if (outbox_.first == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    pending_.take(&outbox_);
  }
  wake_.notify_all();
}

Operation* ThreadEngine::reap() {
  Operation* op = local_.pop();
  if (op != nullptr) return op;
  op = collected_.pop();
  if (op != nullptr) return op;
  if (finishedAny_.load(std::memory_order_acquire)) {
    std::lock_guard<std::mutex> lock(mutex_);
    finishedAny_.store(false);
    collected_.take(&finished_);
  }
  op = collected_.pop();
  // A worker that always has work never waits; whoever wakes it must be heard all the same.
  if (op == nullptr) takeEvents(0);
  return op;
}

int ThreadEngine::addPoll(int fd, uint32_t token, bool writable) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET | (writable ? EPOLLOUT : 0u);
  event.data.u64 = token;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void ThreadEngine::removePoll(int fd, uint32_t) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

bool ThreadEngine::ready() {
  return local_.first != nullptr || collected_.first != nullptr ||
         finishedAny_.load(std::memory_order_acquire);
}

void ThreadEngine::wait(int64_t timeoutUs) {
  submit();
  if (ready()) timeoutUs = 0;
  // epoll counts in ms.
  takeEvents(timeoutUs < 0 ? -1 : static_cast<int>((timeoutUs + 999) / 1000));
}

void ThreadEngine::takeEvents(int timeoutMs) {
  epoll_event events[kEventsMax];
  const int count = epoll_wait(epoll_, events, kEventsMax, timeoutMs);
  for (int i = 0; i < count; i++) {
    if (events[i].data.u64 == kDoneToken) continue;
    const bool dead = events[i].events & (EPOLLHUP | EPOLLERR);
    polled_.push_back({static_cast<uint32_t>(events[i].data.u64), dead});
  }
}

}  // namespace

std::unique_ptr<IoEngine> makeThreadEngine(int* error) {
  auto engine = std::make_unique<ThreadEngine>();
  *error = engine->open();
  if (*error != 0) return nullptr;
  return engine;
}

}  // namespace vhost
