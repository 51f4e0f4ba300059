// io_uring: operations, descriptor polls and the wait for both are one system call.
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "io-engine.h"

namespace vhost {
namespace {

constexpr unsigned kSubmissionEntries = 256;
// Completions of 8 queues of 1024; beyond it the kernel keeps an overflow list.
constexpr unsigned kCompletionEntries = 8192;

// Low bits of user_data: operations are pointers (aligned), so they have none set.
constexpr uint64_t kPollTag = 1;
constexpr uint64_t kIgnoreTag = 2;
constexpr uint64_t kTagMask = 3;

class UringEngine final : public IoEngine {
 public:
  int open();
  ~UringEngine() override;

  int addFile(uint32_t index, int fd) override;
  void start(Operation* op) override;
  void submit() override;
  Operation* reap() override;
  int addPoll(int fd, uint32_t token, bool writable) override;
  void removePoll(int fd, uint32_t token) override;
  bool ready() override;
  void wait(int64_t timeoutUs) override;

 private:
  struct Watched {
    int fd;
    bool writable;
  };

  io_uring_sqe* entry();
  static int checkPollable(int fd);
  void armPoll(const Watched& watched, uint32_t token);
  void onPoll(uint32_t token, const io_uring_cqe& cqe);
  bool kernelHasMore() const;

  io_uring ring_{};
  bool opened_ = false;
  bool fixedFiles_ = false;
  uint32_t inFlight_ = 0;                          // operations started and not reaped
  std::unordered_map<uint32_t, Watched> watched_;  // by token
};

int UringEngine::open() {
  // One issuer and deferred task work: completions are made when we ask for them, not by
  // interrupting the thread in the middle of a batch. Needs Linux 6.1; plain rings before that.
  const unsigned modern =
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  int result = -EINVAL;
  for (unsigned flags : {modern, 0u}) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletionEntries;
    result = io_uring_queue_init_params(kSubmissionEntries, &ring_, &params);
    if (result != -EINVAL) break;
  }
  if (result != 0) return result;
  opened_ = true;
  io_uring_register_ring_fd(&ring_);
  fixedFiles_ = io_uring_register_files_sparse(&ring_, kFilesMax) == 0;
  return 0;
}

UringEngine::~UringEngine() {
  if (!opened_) return;
  // The kernel goes on with what it has begun after the ring is closed: into memory that may be
  // another's by then, and into an image whose lock is already given back.
  while (inFlight_ > 0) {
    io_uring_submit_and_wait(&ring_, 1);
    while (reap() != nullptr) {
    }
  }
  io_uring_queue_exit(&ring_);
}

int UringEngine::addFile(uint32_t index, int fd) {
  if (!fixedFiles_) return 0;
  const int updated = io_uring_register_files_update(&ring_, index, &fd, 1);
  return updated < 0 ? updated : 0;
}

io_uring_sqe* UringEngine::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {  // full: hand over what is there, which empties it
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void UringEngine::start(Operation* op) {
  inFlight_++;
  io_uring_sqe* sqe = entry();
  const int fd = fixedFiles_ ? static_cast<int>(op->file) : op->fd;
  switch (op->code) {
    case OperationCode::kRead:
      if (op->attemptCount == 1) {
        io_uring_prep_read(sqe, fd, op->attemptSegments->iov_base,
                           static_cast<unsigned>(op->attemptSegments->iov_len), op->offset);
      } else {
        io_uring_prep_readv(sqe, fd, op->attemptSegments, op->attemptCount, op->offset);
      }
      break;
    case OperationCode::kWrite:
    case OperationCode::kWriteZeros:
      if (op->attemptCount == 1) {
        io_uring_prep_write(sqe, fd, op->attemptSegments->iov_base,
                            static_cast<unsigned>(op->attemptSegments->iov_len), op->offset);
      } else {
        io_uring_prep_writev(sqe, fd, op->attemptSegments, op->attemptCount, op->offset);
      }
      sqe->rw_flags = op->durable ? RWF_DSYNC : 0;
      break;
    case OperationCode::kSync:
      io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
      break;
    case OperationCode::kAllocate:
      io_uring_prep_fallocate(sqe, fd, op->mode, static_cast<off_t>(op->offset),
                              static_cast<off_t>(op->remaining));
      break;
  }
  if (fixedFiles_) sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data(sqe, op);
}

bool UringEngine::kernelHasMore() const {
  return *ring_.sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

void UringEngine::submit() {
  if (kernelHasMore()) {
    io_uring_submit_and_get_events(&ring_);
  } else if (io_uring_sq_ready(&ring_) > 0) {
    io_uring_submit(&ring_);
  }
}

Operation* UringEngine::reap() {
  while (io_uring_cq_ready(&ring_) > 0) {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_peek_cqe(&ring_, &cqe) != 0) return nullptr;
    const io_uring_cqe taken = *cqe;
    io_uring_cqe_seen(&ring_, cqe);
    const uint64_t tag = taken.user_data & kTagMask;
    if (tag == kPollTag) {
      onPoll(static_cast<uint32_t>(taken.user_data >> 2), taken);
    } else if (tag == 0 && taken.user_data != 0) {
      auto* op = reinterpret_cast<Operation*>(taken.user_data);
      op->attemptResult = taken.res;
      inFlight_--;
      return op;
    }
  }
  return nullptr;
}

void UringEngine::armPoll(const Watched& watched, uint32_t token) {
  io_uring_sqe* sqe = entry();
  io_uring_prep_poll_multishot(sqe, watched.fd, POLLIN | (watched.writable ? POLLOUT : 0));
  io_uring_sqe_set_data64(sqe, (uint64_t{token} << 2) | kPollTag);
}

// io_uring takes any descriptor and says "readable" for ever of one that knows no waiting, such as
// a regular file: the poll ends, is armed again, and the worker spins. epoll refuses those (EPERM).
int UringEngine::checkPollable(int fd) {
  const int probe = epoll_create1(EPOLL_CLOEXEC);
  if (probe < 0) return -errno;
  epoll_event event{};
  event.events = EPOLLIN;
  const int result = epoll_ctl(probe, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
  close(probe);
  return result;
}

int UringEngine::addPoll(int fd, uint32_t token, bool writable) {
  const int refused = checkPollable(fd);
  if (refused != 0) return refused;
  watched_[token] = {fd, writable};
  armPoll(watched_[token], token);
  // The kernel takes its own reference to the file now: the caller may close its descriptor later
  // without the number being polled as another file.
  io_uring_submit(&ring_);
  return 0;
}

void UringEngine::removePoll(int, uint32_t token) {
  if (watched_.erase(token) == 0) return;
  io_uring_sqe* sqe = entry();
  // Not poll_remove: that one fails (-EALREADY) while an event of the poll is on its way, and then
  // the poll keeps the file open for good; a peer of a closed socket never saw its end.
  io_uring_prep_cancel64(sqe, (uint64_t{token} << 2) | kPollTag, 0);
  io_uring_sqe_set_data64(sqe, kIgnoreTag);
  io_uring_submit(&ring_);
}

void UringEngine::onPoll(uint32_t token, const io_uring_cqe& cqe) {
  const auto found = watched_.find(token);
  if (found == watched_.end()) return;
  const bool dead = cqe.res < 0 || (cqe.res & (POLLERR | POLLHUP | POLLNVAL));
  polled_.push_back({token, dead});
  if (dead) {
    removePoll(found->second.fd, token);
  } else if (!(cqe.flags & IORING_CQE_F_MORE)) {
    armPoll(found->second, token);  // the kernel ended the multishot; ask again
  }
}

bool UringEngine::ready() {
  return io_uring_cq_ready(&ring_) > 0 || kernelHasMore();
}

void UringEngine::wait(int64_t timeoutUs) {
  if (timeoutUs < 0) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  __kernel_timespec limit{timeoutUs / 1000000, (timeoutUs % 1000000) * 1000};
  io_uring_cqe* cqe = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr);
}

}  // namespace

std::unique_ptr<IoEngine> makeUringEngine(int* error) {
  auto engine = std::make_unique<UringEngine>();
  *error = engine->open();
  if (*error != 0) return nullptr;
  return engine;
}

}  // namespace vhost
