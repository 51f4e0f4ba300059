// thread-engine.cc and uring-engine.cc: the same tests for both.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>

#include "check.h"
#include "driver.h"
#include "io-engine.h"

namespace vhost::test {
namespace {

using Clock = std::chrono::steady_clock;

int64_t sinceMs(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

void forEachEngine(const std::function<void(IoEngine*)>& body) {
  for (const auto make : {makeUringEngine, makeThreadEngine}) {
    int error = 1;
    const std::unique_ptr<IoEngine> engine = make(&error);
    // Where the kernel forbids io_uring there is only one to test.
    if (engine == nullptr && (error == -ENOSYS || error == -EPERM)) continue;
    CHECK_EQ(error, 0);
    body(engine.get());
  }
}

// The next operation that ends.
Operation* await(IoEngine* engine) {
  const auto start = Clock::now();
  for (;;) {
    engine->submit();
    if (Operation* op = engine->reap()) return op;
    CHECK(sinceMs(start) < 5000);
    engine->wait(1'000'000);
  }
}

int perform(IoEngine* engine, Operation* op) {
  op->attemptSegments = op->segments.data();
  op->attemptCount = static_cast<uint32_t>(op->segments.size());
  engine->start(op);
  CHECK_EQ(await(engine), op);
  return op->attemptResult;
}

TEST("read, write, durable write, sync and allocate on a real file") {
  forEachEngine([](IoEngine* engine) {
    const TemporaryFile file(64 << 10);
    file.fill(0, 64 << 10, 2);
    CHECK_EQ(engine->addFile(3, file.fd()), 0);
    std::vector<uint8_t> data(8192);
    Operation op;
    op.file = 3;
    op.fd = file.fd();
    op.code = OperationCode::kRead;
    op.segments = {{data.data(), 8192}};
    CHECK_EQ(perform(engine, &op), 8192);
    CHECK(data == file.read(0, 8192));
    op.segments = {{data.data(), 100}, {data.data() + 200, 100}};
    op.offset = 60 << 10;
    CHECK_EQ(perform(engine, &op), 200);
    op.offset = (64 << 10) - 50;
    CHECK_EQ(perform(engine, &op), 50);
    op.offset = 1 << 20;
    CHECK_EQ(perform(engine, &op), 0);
    for (const bool durable : {false, true}) {
      std::fill(data.begin(), data.end(), durable ? 0x77 : 0x66);
      op.code = OperationCode::kWrite;
      op.durable = durable;
      op.offset = 4096;
      op.segments = {{data.data(), 5000}};
      CHECK_EQ(perform(engine, &op), 5000);
      op.segments = {{data.data(), 3000}, {data.data(), 192}};
      op.offset = 9096;
      CHECK_EQ(perform(engine, &op), 3192);
      CHECK(file.read(4096, 8192) == data);
    }
    op.code = OperationCode::kSync;
    CHECK_EQ(perform(engine, &op), 0);
    op.code = OperationCode::kAllocate;
    op.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    op.offset = 4096;
    op.remaining = 8192;
    CHECK_EQ(perform(engine, &op), 0);
    CHECK(file.read(4096, 8192) == std::vector<uint8_t>(8192));
    CHECK_EQ(file.size(), 64u << 10);
    op.mode = 0x4000;
    CHECK_EQ(perform(engine, &op), -EOPNOTSUPP);
  });
}

TEST("errors come back as numbers: no file, read-only file, memory that is gone") {
  forEachEngine([](IoEngine* engine) {
    const TemporaryFile file(8192);
    const std::string path = "/proc/self/fd/" + std::to_string(file.fd());
    const int readOnly = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    CHECK_EQ(engine->addFile(0, readOnly), 0);
    CHECK_EQ(engine->addFile(1, file.fd()), 0);
    uint8_t byte = 0;
    Operation op;
    op.fd = readOnly;
    op.code = OperationCode::kWrite;
    op.segments = {{&byte, 1}};
    CHECK_EQ(perform(engine, &op), -EBADF);
    op.file = 5;  // never added
    op.fd = -1;
    CHECK_EQ(perform(engine, &op), -EBADF);
    const SharedFile lost(8192);
    lost.truncate(0);
    op.file = 1;
    op.fd = file.fd();
    for (const auto code : {OperationCode::kRead, OperationCode::kWrite}) {
      op.code = code;
      op.segments = {{lost.data(), 4096}};
      CHECK_EQ(perform(engine, &op), -EFAULT);
    }
    close(readOnly);
  });
}

TEST("more operations than the submission queue has entries, each ends once") {
  constexpr int kCount = 2000;
  forEachEngine([](IoEngine* engine) {
    const TemporaryFile file(kCount * 512);
    file.fill(0, kCount * 512, 4);
    CHECK_EQ(engine->addFile(0, file.fd()), 0);
    std::vector<uint8_t> data(kCount * 512);
    std::vector<Operation> operations(kCount);
    for (int i = 0; i < kCount; i++) {
      Operation& op = operations[i];
      op.fd = file.fd();
      op.tag = i;
      op.offset = i * 512;
      op.segments = {{data.data() + i * 512, 512}};
      op.attemptSegments = op.segments.data();
      op.attemptCount = 1;
      engine->start(&op);
    }
    std::vector<int> seen(kCount);
    for (int i = 0; i < kCount; i++) {
      const Operation* op = await(engine);
      CHECK_EQ(op->attemptResult, 512);
      CHECK_EQ(++seen[op->tag], 1);
    }
    CHECK(data == file.read(0, kCount * 512));
  });
}

TEST("an engine that goes waits for what still reads memory and writes the file") {
  for (const auto make : {makeUringEngine, makeThreadEngine}) {
    constexpr size_t kBytes = 64 << 20;
    const TemporaryFile file(0);
    std::vector<uint8_t> data(kBytes, 0x42);
    Operation op;
    int error = 0;
    std::unique_ptr<IoEngine> engine = make(&error);
    if (engine == nullptr) continue;
    CHECK_EQ(engine->addFile(0, file.fd()), 0);
    op.code = OperationCode::kWrite;
    op.fd = file.fd();
    op.segments = {{data.data(), kBytes}};
    op.attemptSegments = op.segments.data();
    op.attemptCount = 1;
    engine->start(&op);
    engine->submit();
    engine.reset();
    std::fill(data.begin(), data.end(), 0x13);
    usleep(20'000);
    CHECK_EQ(file.size(), kBytes);
    CHECK(file.read(kBytes - 4096, 4096) == std::vector<uint8_t>(4096, 0x42));
  }
}

// What was polled within `ms`, waiting again as long as something comes.
std::vector<PollEvent> gather(IoEngine* engine, int64_t ms) {
  const auto start = Clock::now();
  while (sinceMs(start) < ms) {
    engine->submit();
    CHECK(engine->reap() == nullptr);
    engine->wait((ms - sinceMs(start)) * 1000);
  }
  engine->submit();
  CHECK(engine->reap() == nullptr);
  std::vector<PollEvent> events;
  events.swap(engine->polled());
  return events;
}

TEST("CS-038: a watched eventfd is told of at each write, and does not spin while readable") {
  forEachEngine([](IoEngine* engine) {
    const int fd = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(engine->addPoll(fd, 77), 0);
    CHECK(gather(engine, 5).empty());
    for (int i = 0; i < 3; i++) {
      eventfd_write(fd, 1);
      const std::vector<PollEvent> events = gather(engine, 10);
      CHECK_EQ(events.size(), 1u);
      CHECK_EQ(events[0].token, 77u);
      CHECK(!events[0].hangup);
    }
    CHECK(gather(engine, 10).empty());
    engine->removePoll(fd, 77);
    eventfd_write(fd, 1);
    CHECK(gather(engine, 10).empty());
    close(fd);
  });
}

TEST("a descriptor that was readable before it was watched is told of") {
  forEachEngine([](IoEngine* engine) {
    const int fd = eventfd(1, EFD_CLOEXEC);
    CHECK_EQ(engine->addPoll(fd, 1), 0);
    CHECK_EQ(gather(engine, 5).size(), 1u);
    engine->removePoll(fd, 1);
    close(fd);
  });
}

TEST("CS-038: a pipe that hung up is told of once as dead, others go on") {
  forEachEngine([](IoEngine* engine) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const int other = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(engine->addPoll(ends[0], 5), 0);
    CHECK_EQ(engine->addPoll(other, 6), 0);
    close(ends[1]);
    const std::vector<PollEvent> events = gather(engine, 10);
    CHECK_EQ(events.size(), 1u);
    CHECK_EQ(events[0].token, 5u);
    CHECK(events[0].hangup);
    engine->removePoll(ends[0], 5);
    close(ends[0]);
    eventfd_write(other, 1);
    CHECK_EQ(gather(engine, 10).size(), 1u);
    engine->removePoll(other, 6);
    close(other);
  });
}

TEST("a descriptor number used again is another descriptor") {
  forEachEngine([](IoEngine* engine) {
    const int peer = eventfd(0, EFD_CLOEXEC);
    const int fd = dup(peer);
    CHECK_EQ(engine->addPoll(fd, 1), 0);
    engine->removePoll(fd, 1);
    const int fresh = eventfd(0, EFD_CLOEXEC);
    dup2(fresh, fd);
    CHECK_EQ(engine->addPoll(fd, 2), 0);
    eventfd_write(peer, 1);
    CHECK(gather(engine, 5).empty());
    eventfd_write(fresh, 1);
    const std::vector<PollEvent> events = gather(engine, 5);
    CHECK_EQ(events.size(), 1u);
    CHECK_EQ(events[0].token, 2u);
    engine->removePoll(fd, 2);
    close(fd);
    close(fresh);
    close(peer);
  });
}

TEST("a descriptor no longer watched is let go: its peer sees it closed") {
  forEachEngine([](IoEngine* engine) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK_EQ(engine->addPoll(ends[0], 1), 0);
    engine->removePoll(ends[0], 1);
    close(ends[0]);
    CHECK(gather(engine, 5).empty());
    CHECK(write(ends[1], "x", 1) < 0);
    CHECK_EQ(errno, EPIPE);
    close(ends[1]);
  });
}

TEST("a descriptor that can't be watched is refused or reported dead, and does not spin") {
  forEachEngine([](IoEngine* engine) {
    const TemporaryFile file(10);
    const int closed = dup(file.fd());
    close(closed);
    for (const int fd : {closed, file.fd()}) {
      const int error = engine->addPoll(fd, 9);
      const std::vector<PollEvent> events = gather(engine, 10);
      CHECK(error != 0 || events.size() <= 1);
      if (fd == closed) CHECK(error != 0 || (events.size() == 1 && events[0].hangup));
      if (error == 0) engine->removePoll(fd, 9);
    }
  });
}

TEST("wait ends at its limit without using the CPU, and at once when something is there") {
  forEachEngine([](IoEngine* engine) {
    rusage before;
    rusage after;
    getrusage(RUSAGE_SELF, &before);
    const auto start = Clock::now();
    int waits = 0;  // a signal may end one early
    while (sinceMs(start) < 50 && ++waits < 5) engine->wait(50'000);
    const int64_t ms = sinceMs(start);
    getrusage(RUSAGE_SELF, &after);
    CHECK(ms >= 50 && ms < 1000);
    const auto cpuUs = [](const rusage& usage) {
      return usage.ru_utime.tv_usec + usage.ru_stime.tv_usec +
             1'000'000 * (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    };
    CHECK(cpuUs(after) - cpuUs(before) < 20'000);
    const int fd = eventfd(1, EFD_CLOEXEC);
    CHECK_EQ(engine->addPoll(fd, 1), 0);
    const auto again = Clock::now();
    engine->wait(-1);
    CHECK(sinceMs(again) < 1000);
    engine->removePoll(fd, 1);
    close(fd);
  });
}

// A worker under load never waits; the main thread must still reach it.
TEST("watched descriptors are seen without wait, while operations keep coming") {
  forEachEngine([](IoEngine* engine) {
    const int fd = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(engine->addPoll(fd, 8), 0);
    eventfd_write(fd, 1);
    const auto start = Clock::now();
    while (engine->polled().empty() && sinceMs(start) < 200) {
      engine->submit();
      engine->reap();
    }
    CHECK_EQ(engine->polled().size(), 1u);
    engine->polled().clear();
    engine->removePoll(fd, 8);
    close(fd);
  });
}

}  // namespace
}  // namespace vhost::test
