#include "rig.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "check.h"

namespace vhost::test {
namespace {

constexpr uint32_t kHeaderBytes = 16;
constexpr uint8_t kStatusOk = 0;
constexpr uint8_t kStatusError = 1;

struct Header {
  uint32_t write;
  uint32_t reserved;
  uint64_t offset;
};

uint64_t taken(int fd) {
  uint64_t value = 0;
  return read(fd, &value, sizeof value) == sizeof value ? value : 0;
}

}  // namespace

void forBothEngines(const std::function<void(bool uring)>& body) {
  int error = 0;
  makeUringEngine(&error);
  if (error != -ENOSYS && error != -EPERM) body(true);
  body(false);
}

Rig::Rig(const RigOptions& given)
    : options(given),
      driver(given.driver),
      file(given.fileBytes, given.directAlign > 0 ? O_DIRECT : 0),
      exchange(std::make_unique<Exchange>()),
      wakeFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      kickFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      callFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      errFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  int error = 0;
  plane = DataPlane::create({options.uring, wakeFd, options.pollUs, kHeaderBytes, exchange.get(),
                             options.operationPollUs},
                            &error);
  CHECK_EQ(error, 0);
  CHECK_EQ(plane->addFile(0, file.fd(), options.directAlign), 0);
  CHECK_EQ(startVring(0), 0);
  plane->enableVring(0, true);
}

Rig::~Rig() {
  plane.reset();
  for (const int fd : {wakeFd, kickFd, callFd, errFd}) close(fd);
}

VringStart Rig::vringStart(uint32_t queue) const {
  const DriverOptions& ring = options.driver;
  return {queue,         ring.size,     driver.addresses(),
          driver.base(), ring.eventIdx, options.kick ? dup(kickFd) : -1,
          dup(callFd),   dup(errFd),    ring.packed};
}

uint16_t Rig::post(uint16_t slot, bool write, uint64_t offset, uint32_t bytes) {
  const Header fields{write, 0, offset};
  std::memcpy(driver.host(header(slot)), &fields, sizeof fields);
  *driver.host(status(slot)) = 0xff;
  const auto head = static_cast<uint16_t>(slot * 3);
  driver.chain(
      head, {{header(slot), kHeaderBytes}, {data(slot), bytes, !write}, {status(slot), 1, true}});
  driver.offer(head);
  return head;
}

void Rig::kick() const {
  eventfd_write(kickFd, 1);
}

CommandRecord& Rig::command(uint32_t code, uint32_t chain) {
  CHECK(commands < kCommandsMax);
  CommandRecord& record = exchange->commands[commands++];
  record = {};
  record.code = code;
  record.chain = chain;
  return record;
}

void Rig::decide(const Turn& turn) {
  for (uint32_t i = 0; i < turn.requests; i++) {
    const RequestRecord& request = exchange->requests[i];
    Header fields{};
    std::memcpy(&fields, request.header, sizeof fields);
    const bool write = fields.write & 1;
    CommandRecord& record = command(write ? 2 : 1, request.chain);
    if (request.readableBytes < kHeaderBytes || request.writableBytes == 0) {
      record.code = 6;
      continue;
    }
    record.flags = kCommandComplete | kCommandTail;
    record.offset = static_cast<double>(fields.offset % options.fileBytes);
    record.length = write ? request.readableBytes - kHeaderBytes : request.writableBytes - 1;
    record.chainOffset = write ? kHeaderBytes : 0;
    record.tailOffset = request.writableBytes - 1;
    record.tailByte = kStatusOk;
    record.usedLength = request.writableBytes;
    record.tag = record.tailOffset;
  }
  for (uint32_t i = 0; i < turn.completions; i++) {
    const CompletionRecord& completion = exchange->completions[i];
    CommandRecord& record = command(6, completion.chain);
    record.flags = kCommandTail;
    record.tailOffset = completion.tag;
    record.tailByte = kStatusError;
    record.usedLength = completion.tag + 1;
  }
}

Rig::Turn Rig::turn(bool mayBlock) {
  const uint32_t packed = plane->turn(commands, mayBlock);
  commands = 0;
  const uint32_t mask = (1u << kTurnCompletionsShift) - 1;
  return {packed & mask, packed >> kTurnCompletionsShift & mask, packed >> kTurnEventsShift & mask,
          (packed & kTurnWake) != 0};
}

void Rig::turnUntil(const std::function<bool(const Turn&)>& done) {
  const auto start = std::chrono::steady_clock::now();
  while (!done(turn())) {
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
    usleep(100);
  }
}

void Rig::serve(uint32_t count) {
  const size_t wanted = used.size() + count;
  const auto start = std::chrono::steady_clock::now();
  while (used.size() < wanted) {
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
    decide(turn());
    Used element{};
    while (driver.takeUsed(&element)) used.push_back(element);
    driver.askForCall();
  }
}

uint64_t Rig::calls() const {
  return taken(callFd);
}

uint64_t Rig::errors() const {
  return taken(errFd);
}

}  // namespace vhost::test
