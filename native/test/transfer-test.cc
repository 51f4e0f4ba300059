// transfer.cc and the commands that end at once: sockets, the arena, chain to chain.
#include "transfer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kSend = 7;
constexpr uint32_t kReceive = 8;
constexpr uint32_t kCopy = 9;

struct Sockets {
  explicit Sockets(int type) { socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends); }
  ~Sockets() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

// One turn with one command; its record, or a result nobody gives when there was none.
constexpr int kNoRecord = 1 << 30;
int result(Rig* rig) {
  const Rig::Turn turn = rig->turn();
  return turn.completions > 0 ? rig->exchange->completions[0].result : kNoRecord;
}

CommandRecord& transfer(Rig* rig, uint32_t code, uint32_t chain, int fd, double bytes,
                        uint32_t offset, uint32_t flags) {
  CommandRecord& record = rig->command(code, chain);
  record.file = static_cast<uint32_t>(fd);
  record.length = bytes;
  record.chainOffset = offset;
  record.flags = flags;
  return record;
}

// A chain of 100 readable bytes, or writable ones.
uint32_t offer(Rig* rig, uint16_t slot, bool writable) {
  rig->driver.fill(rig->data(slot), 100, 7);
  rig->driver.offer(
      rig->driver.chain(static_cast<uint16_t>(3 * slot),
                        {{rig->data(slot), 60, writable}, {rig->data(slot) + 60, 40, writable}}));
  rig->kick();
  CHECK_EQ(rig->turn().requests, 1u);
  return rig->exchange->requests[0].chain;
}

TEST("a send moves the chain's bytes at once and completes it when asked") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  const uint32_t chain = offer(&rig, 0, false);
  transfer(&rig, kSend, chain, sockets.ends[0], 90, 10, kCommandSocket | kCommandComplete);
  CHECK_EQ(result(&rig), kNoRecord);
  uint8_t got[128];
  CHECK_EQ(read(sockets.ends[1], got, sizeof(got)), 90);
  for (uint64_t i = 0; i < 90; i++) CHECK_EQ(got[i], patternByte(i + 10, 7));
  Used used{};
  CHECK(rig.driver.takeUsed(&used));
  CHECK_EQ(used.length, 0u);
}

TEST("a send of less than all, and one refused, leave the chain open and tell") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  const uint32_t chain = offer(&rig, 0, false);
  std::string filler(4096, 'x');
  while (write(sockets.ends[0], filler.data(), filler.size()) > 0) {
  }
  transfer(&rig, kSend, chain, sockets.ends[0], 100, 0, kCommandSocket | kCommandComplete);
  CHECK_EQ(result(&rig), -EAGAIN);
  close(sockets.ends[1]);
  sockets.ends[1] = dup(sockets.ends[0]);
  transfer(&rig, kSend, chain, sockets.ends[0], 100, 0, kCommandSocket | kCommandComplete);
  CHECK_EQ(result(&rig), -EPIPE);
  Used used{};
  CHECK(!rig.driver.takeUsed(&used));
}

TEST("a receive fills the chain and counts what came into the used length") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  const uint32_t chain = offer(&rig, 0, true);
  transfer(&rig, kReceive, chain, sockets.ends[0], 56, 44, kCommandSocket | kCommandComplete);
  CHECK_EQ(result(&rig), -EAGAIN);
  CHECK_EQ(write(sockets.ends[1], "0123456789", 10), 10);
  transfer(&rig, kReceive, chain, sockets.ends[0], 56, 44,
           kCommandSocket | kCommandComplete | kCommandAddBytes)
      .usedLength = 44;
  CHECK_EQ(result(&rig), kNoRecord);
  CHECK_EQ(std::memcmp(rig.driver.host(rig.data(0) + 44), "0123456789", 10), 0);
  Used used{};
  CHECK(rig.driver.takeUsed(&used));
  CHECK_EQ(used.length, 54u);
}

TEST("the end of a stream is a receive of nothing: told, the chain stays") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  const uint32_t chain = offer(&rig, 0, true);
  shutdown(sockets.ends[1], SHUT_WR);
  transfer(&rig, kReceive, chain, sockets.ends[0], 56, 44, kCommandSocket | kCommandComplete);
  CHECK_EQ(result(&rig), 0);
}

TEST("a message longer than the room for it says its length") {
  Rig rig;
  Sockets sockets(SOCK_SEQPACKET);
  const uint32_t chain = offer(&rig, 0, true);
  const std::string message(300, 'm');
  CHECK_EQ(write(sockets.ends[1], message.data(), message.size()), 300);
  transfer(&rig, kReceive, chain, sockets.ends[0], 100, 0, kCommandSocket | kCommandMessage);
  CHECK_EQ(result(&rig), 300);
}

TEST("the arena stands in for a chain, and is bounded") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  uint8_t arena[64] = "from the arena";
  rig.plane->setArena({arena, sizeof(arena)});
  const uint32_t flags = kCommandSocket | kCommandArena;
  const struct {
    uint32_t code;
    double bytes;
    uint32_t offset;
    int expected;
  } rows[] = {
      {kSend, 14, 0, 14},         {kSend, 64, 1, -EINVAL}, {kSend, 1, UINT32_MAX, -EINVAL},
      {kReceive, 65, 0, -EINVAL}, {kSend, -1, 0, -EINVAL}, {kSend, 4294967296.0, 0, -EINVAL},
      {kReceive, 8, 56, -EAGAIN}};
  for (const auto& row : rows) {
    transfer(&rig, row.code, kNoChain, sockets.ends[0], row.bytes, row.offset, flags);
    CHECK_EQ(result(&rig), row.expected);
  }
  CHECK_EQ(write(sockets.ends[1], "12345678", 8), 8);
  transfer(&rig, kReceive, kNoChain, sockets.ends[0], 8, 56, flags);
  CHECK_EQ(result(&rig), 8);
  CHECK_EQ(std::memcmp(arena + 56, "12345678", 8), 0);
}

TEST("commands that name no chain, or more of it than there is, fail") {
  Rig rig;
  Sockets sockets(SOCK_STREAM);
  const uint32_t chain = offer(&rig, 0, false);
  const struct {
    uint32_t code;
    uint32_t chain;
    double bytes;
    uint32_t offset;
  } rows[] = {{kSend, kNoChain, 10, 0}, {kSend, 5, 10, 0},       {kSend, chain, 101, 0},
              {kSend, chain, 10, 91},   {kReceive, chain, 1, 0}, {kCopy, kNoChain, 10, 0},
              {kCopy, chain, 10, 0}};
  for (const auto& row : rows) {
    transfer(&rig, row.code, row.chain, sockets.ends[0], row.bytes, row.offset, kCommandSocket);
    CHECK_EQ(result(&rig), -EINVAL);
  }
  transfer(&rig, kSend, chain, 1 << 20, 10, 0, kCommandSocket);
  CHECK_EQ(result(&rig), -EBADF);
}

TEST("a driver may let both ends of a copy overlap") {
  uint8_t bytes[96];
  for (uint8_t i = 0; i < sizeof bytes; i++) bytes[i] = i;
  CHECK_EQ(copySegments({{bytes, 64}}, {{bytes + 16, 64}}), 64u);
  for (uint8_t i = 0; i < 64; i++) CHECK_EQ(bytes[16 + i], i);
}

TEST("a copy goes from one chain into another, as far as both reach") {
  Rig rig;
  const uint32_t from = offer(&rig, 0, false);
  const uint32_t to = offer(&rig, 1, true);
  CommandRecord& whole = transfer(&rig, kCopy, from, static_cast<int>(to), 80, 5, 0);
  whole.tailOffset = 20;
  CHECK_EQ(result(&rig), kNoRecord);
  const uint8_t* target = rig.driver.host(rig.data(1));
  for (uint64_t i = 0; i < 80; i++) CHECK_EQ(target[20 + i], patternByte(5 + i, 7));
  transfer(&rig, kCopy, from, static_cast<int>(to), 101, 0, 0);
  CHECK_EQ(result(&rig), 100);
}

}  // namespace
}  // namespace vhost::test
