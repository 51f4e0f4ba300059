// data-plane.cc: commands, completions and the limits of the exchange tables.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <limits>
#include <thread>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kRead = 1;
constexpr uint32_t kSync = 3;
constexpr uint32_t kAllocate = 4;
constexpr uint32_t kWriteZeros = 5;
constexpr uint32_t kComplete = 6;
constexpr uint32_t kCompleteList = 13;
constexpr auto kUnpop = static_cast<uint32_t>(CommandCode::kUnpop);

TEST("a command that makes no sense completes with -EINVAL and touches nothing") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const struct {
    const char* what;
    uint32_t code;
    uint32_t chain;
    uint32_t file;
    double offset;
    double length;
    uint32_t chainOffset;
  } rows[] = {
      {"code 0", 0, 0, 0, 0, 512, 0},
      {"code 10", 10, 0, 0, 0, 512, 0},
      {"code 2^32 - 1", UINT32_MAX, 0, 0, 0, 512, 0},
      {"chain not in flight", kRead, 3, 0, 0, 512, 0},
      {"no chain", kRead, kNoChain, 0, 0, 512, 0},
      {"queue that is none", kRead, 200 << 16, 0, 0, 512, 0},
      {"longer than the chain", kRead, 0, 0, 0, 514, 0},
      {"offset behind the chain", kRead, 0, 0, 0, 512, 2},
      {"offset far behind", kRead, 0, 0, 0, 1, UINT32_MAX},
      {"writes what it may only read", kRead + 1, 0, 0, 0, 513, 0},
      {"file that is none", kSync, kNoChain, 16, 0, 0, 0},
      {"file never added", kWriteZeros, kNoChain, 1, 0, 512, 0},
      {"negative file offset", kWriteZeros, kNoChain, 0, -1, 512, 0},
      {"offset is no number", kWriteZeros, kNoChain, 0, nan, 512, 0},
      {"offset 2^64", kWriteZeros, kNoChain, 0, 18446744073709551616.0, 512, 0},
      {"negative length", kAllocate, kNoChain, 0, 0, -512, 0},
      {"length infinite", kWriteZeros, kNoChain, 0, 0, std::numeric_limits<double>::infinity(), 0},
      {"offset + length beyond 2^53", kWriteZeros, kNoChain, 0, 9007199254740992.0, 512, 0},
  };
  forBothEngines([&](bool uring) {
    for (const auto& row : rows) {
      Rig rig({.uring = uring});
      rig.file.fill(0, 4096, 1);
      rig.post(0, false, 0, 512);
      CHECK_EQ(rig.turn().requests, 1u);
      CommandRecord& record = rig.command(row.code, row.chain);
      record.file = row.file;
      record.offset = row.offset;
      record.length = row.length;
      record.chainOffset = row.chainOffset;
      record.tag = 4711;
      Rig::Turn seen{};
      rig.turnUntil([&](const Rig::Turn& turn) {
        seen = turn;
        return turn.completions > 0;
      });
      const CompletionRecord& completion = rig.exchange->completions[0];
      const bool right = seen.completions == 1 && completion.result == -EINVAL &&
                         completion.tag == 4711 && completion.chain == row.chain;
      if (!right) fail(__FILE__, __LINE__, row.what);
      CHECK_EQ(rig.file.size(), rig.options.fileBytes);
      CHECK_EQ(rig.file.read(511, 1)[0], patternByte(511, 1));
      CHECK_EQ(rig.plane->inFlight(0), 1u);
    }
  });
}

TEST("kComplete for what is not in flight is ignored; a second one too") {
  Rig rig;
  rig.post(0, false, 0, 512);
  CHECK_EQ(rig.turn().requests, 1u);
  for (const uint32_t chain : {0u, 0u, 5u, 1u << 16, 300u << 16, kNoChain}) {
    CommandRecord& record = rig.command(kComplete, chain);
    record.flags = kCommandTail;
    record.tailOffset = 1u << 31;  // outside the writable part: nothing is written
    record.usedLength = 9;
  }
  rig.turn();
  CHECK_EQ(rig.driver.usedIndex(), 1);
  CHECK_EQ(*rig.driver.host(rig.status(0)), 0xff);
}

TEST("sync, allocate and zeros with a completion record, also above the command table") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    rig.file.fill(0, 8192, 1);
    for (const uint32_t code : {kSync, kAllocate, kWriteZeros}) {
      CommandRecord& record = rig.command(code, kNoChain);
      record.flags = kCommandNotify | kCommandComplete;
      record.tag = code;
      record.offset = code == kAllocate ? 0 : 4096;
      record.length = 4096;
      record.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    }
    uint32_t seen = 0;
    rig.turnUntil([&](const Rig::Turn& turn) {
      for (uint32_t i = 0; i < turn.completions; i++) {
        CHECK_EQ(rig.exchange->completions[i].result, 0);
        seen += rig.exchange->completions[i].tag;
      }
      return seen == kSync + kAllocate + kWriteZeros;
    });
    CHECK(rig.file.read(0, 8192) == std::vector<uint8_t>(8192));
  });
}

TEST("more completions than the table holds come in the turns after, each once") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    std::vector<int> seen(kCommandsMax);
    for (uint32_t i = 0; i < kCommandsMax; i++) {
      CommandRecord& record = rig.command(i % 2 == 0 ? kSync : 99, kNoChain);
      record.flags = kCommandNotify;
      record.tag = i;
    }
    uint32_t total = 0;
    rig.turnUntil([&](const Rig::Turn& turn) {
      CHECK(turn.completions <= kCompletionsMax);
      for (uint32_t i = 0; i < turn.completions; i++) {
        const CompletionRecord& completion = rig.exchange->completions[i];
        CHECK_EQ(completion.result, completion.tag % 2 == 0 ? 0 : -EINVAL);
        CHECK_EQ(++seen[completion.tag], 1);
        total++;
      }
      return total == kCommandsMax;
    });
    CHECK_EQ(rig.turn().completions, 0u);
  });
}

TEST("a command count beyond the table is cut") {
  Rig rig;
  for (uint32_t i = 0; i < kCommandsMax; i++) rig.command(kComplete, kNoChain);
  rig.commands = UINT32_MAX;
  CHECK_EQ(rig.turn().completions, 0u);
}

TEST("RG-003: one turn takes a bounded part of a full ring, all of it comes in the end") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .driver = {.size = 1024, .memoryBytes = 8 << 20}});
    for (uint16_t slot = 0; slot < 300; slot++) rig.post(slot, slot % 2 == 0, slot * 512, 512);
    const Rig::Turn turn = rig.turn();
    CHECK(turn.requests > 0 && turn.requests <= 64);
    rig.decide(turn);
    rig.serve(300);
    for (uint16_t slot = 0; slot < 300; slot++) CHECK_EQ(*rig.driver.host(rig.status(slot)), 0);
  });
}

TEST("RG-026 BK-027: bytes in flight are capped, whatever the driver offers") {
  Rig rig({.driver = {.size = 64, .memoryBytes = 64 << 20}});
  const uint64_t start = rig.driver.options().guestAddress;
  for (uint16_t i = 0; i < 64; i++) {
    rig.driver.offer(rig.driver.chain(i, {{start, 32 << 20, true}}));
  }
  uint32_t popped = 0;
  for (int i = 0; i < 10; i++) popped += rig.turn().requests;
  CHECK_EQ(popped, 8u);
  // One comes back, one more goes.
  rig.command(kComplete, 0);
  CHECK_EQ(rig.turn().requests, 1u);
}

TEST("more broken queues than the event table holds: none is forgotten") {
  Rig rig;
  Driver driver;
  for (uint32_t queue = 1; queue < 200; queue++) {
    const VringStart start{queue, 8, driver.addresses(), 0, true, -1, -1, -1};
    CHECK_EQ(rig.plane->startVring(start, driver.memory()), 0);
  }
  rig.plane->changeMemory(std::make_shared<GuestMemory>());
  std::vector<int> seen(200);
  for (int i = 0; i < 5; i++) {
    const Rig::Turn turn = rig.turn();
    CHECK(turn.events <= kEventsMax);
    for (uint32_t e = 0; e < turn.events; e++) seen[rig.exchange->events[e].queue]++;
  }
  for (uint32_t queue = 0; queue < 200; queue++) CHECK_EQ(seen[queue], 1);
}

TEST("a queue that can't be: index, size, addresses; its descriptors are closed") {
  Rig rig;
  const auto openFds = [] {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
  };
  const int before = openFds();
  VringStart start = rig.vringStart(DataPlane::kQueuesMax);
  CHECK_EQ(rig.plane->startVring(start, rig.driver.memory()), -EINVAL);
  start = rig.vringStart(1);
  start.size = 7;
  CHECK_EQ(rig.plane->startVring(start, rig.driver.memory()), -EINVAL);
  start = rig.vringStart(1);
  start.addresses.used = 4;
  CHECK_EQ(rig.plane->startVring(start, rig.driver.memory()), -EFAULT);
  start = rig.vringStart(1);
  close(start.kickFd);
  start.kickFd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  close(start.callFd);
  start.callFd = -1;
  rig.plane->startVring(start, rig.driver.memory());
  rig.plane->endVring(1);
  rig.turn();
  CHECK_EQ(openFds(), before);
  CHECK_EQ(rig.plane->inFlight(300), 0u);
  CHECK_EQ(rig.plane->endVring(300), -ENOENT);
  CHECK_EQ(rig.plane->addFile(IoEngine::kFilesMax, rig.file.fd(), 0), -EINVAL);
}

TEST("kCompleteList: all of a list go back unwritten, what is none is passed over") {
  Rig rig({.driver = {.size = 64}});
  for (uint16_t slot = 0; slot < 3; slot++) rig.post(slot, false, 0, 512);
  rig.turnUntil([&](const Rig::Turn&) { return rig.plane->inFlight(0) == 3; });
  uint32_t list[] = {0, 77 << 16, 3, 6};
  rig.plane->setArena({reinterpret_cast<uint8_t*>(list), sizeof list});
  CommandRecord& record = rig.command(kCompleteList, kNoChain);
  record.usedLength = 4;
  CHECK_EQ(rig.turn().completions, 0u);
  CHECK_EQ(rig.plane->inFlight(0), 0u);
  for (uint32_t i = 0; i < 3; i++) {
    Used used{};
    CHECK(rig.driver.takeUsed(&used));
    CHECK_EQ(used.id, 3 * i);
    CHECK_EQ(used.length, 0u);
  }
  // One entry more than the arena has; far outside; nothing at all.
  const struct {
    uint32_t offset;
    uint32_t count;
    uint32_t completions;
  } rows[] = {{4, 4, 1}, {UINT32_MAX, UINT32_MAX, 1}, {16, 0, 0}};
  for (const auto& row : rows) {
    CommandRecord& bad = rig.command(kCompleteList, kNoChain);
    bad.chainOffset = row.offset;
    bad.usedLength = row.count;
    CHECK_EQ(rig.turn().completions, row.completions);
  }
}

TEST("IN_ORDER: completed in any order, used in that of the ring, both kinds") {
  for (const bool packed : {false, true}) {
    Rig rig(
        {.driver = {
             .size = 64, .base = static_cast<uint16_t>(packed ? 0x8000 : 0), .packed = packed}});
    rig.plane->drainVring(0);
    CHECK(rig.plane->endVring(0) >= 0);
    VringStart start = rig.vringStart(0);
    start.inOrder = true;
    CHECK_EQ(rig.plane->startVring(start, rig.driver.memory()), 0);
    rig.plane->enableVring(0, true);
    uint16_t heads[4];
    for (uint16_t slot = 0; slot < 4; slot++) heads[slot] = rig.post(slot, false, 0, 512);
    std::vector<uint32_t> chains;
    rig.turnUntil([&](const Rig::Turn& turn) {
      for (uint32_t i = 0; i < turn.requests; i++) {
        chains.push_back(rig.exchange->requests[i].chain);
      }
      return chains.size() == 4;
    });
    const auto complete = [&](uint32_t which) {
      rig.command(kComplete, chains[which]);
      rig.turn();
    };
    Used used;
    complete(3);
    complete(1);
    CHECK(!rig.driver.takeUsed(&used));
    CHECK_EQ(rig.plane->inFlight(0), 4u);
    complete(0);
    for (const uint32_t expected : {0, 1}) {
      CHECK(rig.driver.takeUsed(&used));
      CHECK_EQ(used.id, heads[expected]);
    }
    CHECK(!rig.driver.takeUsed(&used));
    // Not the newest: it can't go back into the ring past the one that has ended behind it.
    rig.command(kUnpop, chains[2]);
    rig.turn();
    for (const uint32_t expected : {2, 3}) {
      CHECK(rig.driver.takeUsed(&used));
      CHECK_EQ(used.id, heads[expected]);
    }
    CHECK_EQ(rig.plane->inFlight(0), 0u);
    // The newest can: it is popped again.
    rig.post(0, false, 0, 512);
    chains.clear();
    rig.turnUntil([&](const Rig::Turn& turn) {
      if (turn.requests > 0) chains.push_back(rig.exchange->requests[0].chain);
      if (chains.size() == 1) rig.command(kUnpop, chains[0]);
      return chains.size() == 2;
    });
    CHECK_EQ(chains[0], chains[1]);
    complete(0);
    CHECK(rig.driver.takeUsed(&used));
  }
}

TEST("NT-037: a vring that is only read shows all as readable, and gets nothing written") {
  for (const bool packed : {false, true}) {
    const auto base = static_cast<uint16_t>(packed ? 0x8000 : 0);
    Rig rig({.driver = {.size = 64, .base = base, .packed = packed}});
    rig.plane->drainVring(0);
    CHECK(rig.plane->endVring(0) >= 0);
    VringStart start = rig.vringStart(0);
    start.readOnly = true;
    CHECK_EQ(rig.plane->startVring(start, rig.driver.memory()), 0);
    rig.plane->enableVring(0, true);
    rig.post(0, false, 0, 512);
    rig.turnUntil([](const Rig::Turn& turn) { return turn.requests > 0; });
    const RequestRecord& request = rig.exchange->requests[0];
    CHECK_EQ(request.readableBytes, 16u + 512 + 1);
    CHECK_EQ(request.writableBytes, 0u);
    CommandRecord& read = rig.command(kRead, request.chain);
    read.length = 512;
    rig.turnUntil([](const Rig::Turn& turn) { return turn.completions > 0; });
    CHECK_EQ(rig.exchange->completions[0].result, -EINVAL);
    CommandRecord& complete = rig.command(kComplete, request.chain);
    complete.flags = kCommandTail;
    complete.tailOffset = kTailLast;
    rig.turn();
    Used used;
    CHECK(rig.driver.takeUsed(&used));
    CHECK_EQ(*rig.driver.host(rig.status(0)), 0xff);
  }
}

TEST("a data plane that goes with requests in flight leaves nothing behind") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .directAlign = 4096, .driver = {.size = 128}});
    rig.file.fill(0, rig.options.fileBytes, 1);  // a hole would be read at once
    for (uint16_t slot = 0; slot < 40; slot++) {
      rig.post(slot, false, slot * 4096, 4096);
      rig.driver.setDescriptor(slot * 3 + 1, {rig.data(slot) + 8, 4096, kWrite | kNext,
                                              static_cast<uint16_t>(slot * 3 + 2)});
    }
    rig.decide(rig.turn());
    rig.turn();
    rig.plane.reset();  // under ASan: no leak, no use after free
  });
}

}  // namespace
}  // namespace vhost::test
