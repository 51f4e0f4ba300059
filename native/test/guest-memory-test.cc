#include "guest-memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kGuest = 0x10000;
constexpr uint64_t kUser = 0x7f0000000000;

int mapError(int fd, const RegionDescription& description) {
  int error = 1;
  const auto memory = GuestMemory().with(fd, description, &error);
  if ((memory == nullptr) == (error == 0)) return INT_MAX;  // result and error must agree
  return error;
}

size_t mappingCount(const char* name) {
  FILE* maps = std::fopen("/proc/self/maps", "re");
  char line[512];
  size_t count = 0;
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    if (std::strstr(line, name) != nullptr) count++;
  }
  std::fclose(maps);
  return count;
}

TEST("CS-072 CS-073 CS-076 CS-079: sizes and sums that make no sense are refused") {
  const SharedFile file(4 * kPage);
  const uint64_t top = UINT64_MAX;
  const struct {
    const char* what;
    RegionDescription description;
    int error;
  } rows[] = {
      {"whole file", {kGuest, kUser, 4 * kPage, 0}, 0},
      {"size 0", {kGuest, kUser, 0, 0}, -EINVAL},
      {"size 0 at the end of the file", {kGuest, kUser, 0, 4 * kPage}, -EINVAL},
      {"size 0 off a page boundary", {kGuest, kUser, 0, 1}, -EINVAL},
      {"gpa + size wraps", {top - kPage + 2, kUser, kPage, 0}, -EINVAL},
      {"gpa + size is 2^64", {top - kPage + 1, kUser, kPage, 0}, -EINVAL},
      {"gpa + size is 2^64 - 1", {top - kPage, kUser, kPage, 0}, 0},
      {"uva + size wraps", {kGuest, top - 1, kPage, 0}, -EINVAL},
      {"offset + size wraps", {kGuest, kUser, 2 * kPage, top - kPage + 1}, -EINVAL},
      {"page round-up would wrap", {kGuest, kUser, kPage, top - kPage - 1}, -EOVERFLOW},
      {"offset 2^63", {kGuest, kUser, kPage, uint64_t{1} << 63}, -EOVERFLOW},
      {"one byte behind the file", {kGuest, kUser, 4 * kPage, 1}, -EOVERFLOW},
      {"one page behind the file", {kGuest, kUser, kPage, 4 * kPage}, -EOVERFLOW},
      {"2^40", {kGuest, kUser, uint64_t{1} << 40, 0}, -EOVERFLOW},
      {"2^60", {kGuest, kUser, uint64_t{1} << 60, 0}, -EINVAL},
      {"2^64 - 1", {0, 0, top, 0}, -EINVAL},
      {"one byte", {kGuest, kUser, 1, 4 * kPage - 1}, 0},
  };
  for (const auto& row : rows) {
    const int error = mapError(file.fd(), row.description);
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
  }
  CHECK_EQ(mappingCount("vhost-test"), 1u);  // ours: the refused ones left nothing behind
}

TEST("CS-076 CS-078: files that can't be guest memory are refused") {
  const RegionDescription page{kGuest, kUser, kPage, 0};
  const SharedFile empty(0);
  CHECK_EQ(mapError(empty.fd(), page), -EOVERFLOW);
  const SharedFile file(kPage);
  const std::string path = "/proc/self/fd/" + std::to_string(file.fd());
  for (const int flags : {O_RDONLY, O_WRONLY, O_PATH}) {
    const int fd = open(path.c_str(), flags | O_CLOEXEC);
    CHECK(fd >= 0);
    const int error = mapError(fd, page);
    close(fd);
    CHECK_EQ(error, -EACCES);
  }
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  CHECK_EQ(mapError(ends[0], page), -EBADF);
  close(ends[0]);
  close(ends[1]);
  const int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  CHECK_EQ(mapError(zero, page), -EBADF);
  close(zero);
  CHECK_EQ(mapError(-1, page), -EBADF);
  const SharedFile sealed(kPage, MFD_ALLOW_SEALING);
  CHECK(fcntl(sealed.fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
  CHECK_EQ(mapError(sealed.fd(), page), -EPERM);
}

TEST("CS-074 CS-082: overlap in either address space is refused, one file twice is not") {
  const SharedFile file(16 * kPage);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {kGuest, kUser, 4 * kPage, 4 * kPage}, &error);
  CHECK_EQ(error, 0);
  const uint64_t far = 0x1000000;
  const struct {
    const char* what;
    RegionDescription description;
    int error;
  } rows[] = {
      {"duplicate", {kGuest, kUser, 4 * kPage, 4 * kPage}, -EEXIST},
      {"gpa, first byte", {kGuest - kPage + 1, kUser + far, kPage, 0}, -EEXIST},
      {"gpa, last byte", {kGuest + 4 * kPage - 1, kUser + far, kPage, 0}, -EEXIST},
      {"gpa, inside", {kGuest + kPage, kUser + far, kPage, 0}, -EEXIST},
      {"gpa, around", {kGuest - kPage, kUser + far, 8 * kPage, 0}, -EEXIST},
      {"uva, first byte", {kGuest + far, kUser - kPage + 1, kPage, 0}, -EEXIST},
      {"uva, last byte", {kGuest + far, kUser + 4 * kPage - 1, kPage, 0}, -EEXIST},
      {"adjoins below", {kGuest - kPage, kUser - kPage, kPage, 0}, 0},
      {"adjoins above", {kGuest + 4 * kPage, kUser + 4 * kPage, kPage, 0}, 0},
      {"same bytes of the file elsewhere", {kGuest + far, kUser + far, 4 * kPage, 4 * kPage}, 0},
  };
  for (const auto& row : rows) {
    error = 1;
    memory->with(file.fd(), row.description, &error);
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
  }
  CHECK_EQ(memory->regionCount(), 1u);
}

TEST("CS-075: an mmap offset off a page boundary works and reaches the right bytes") {
  const SharedFile file(4 * kPage);
  for (uint64_t i = 0; i < file.bytes(); i++) file.data()[i] = patternByte(i, 7);
  for (const uint64_t offset : {uint64_t{1}, uint64_t{777}, kPage - 1, kPage, kPage + 3}) {
    int error = 0;
    const auto memory = GuestMemory().with(file.fd(), {kGuest, kUser, kPage + 5, offset}, &error);
    CHECK_EQ(error, 0);
    std::vector<iovec> segments;
    CHECK(memory->translate(kGuest, kPage + 5, &segments));
    CHECK_EQ(segments.size(), 1u);
    CHECK_EQ(segments[0].iov_len, kPage + 5);
    CHECK(std::memcmp(segments[0].iov_base, file.data() + offset, kPage + 5) == 0);
  }
}

TEST("CS-079: one region more than the maximum is refused") {
  const SharedFile file(kPage);
  auto memory = std::make_shared<GuestMemory>();
  int error = 0;
  for (uint64_t i = 0; i < GuestMemory::kRegionsMax; i++) {
    memory = memory->with(file.fd(), {i * kPage, kUser + i * kPage, kPage, 0}, &error);
    CHECK_EQ(error, 0);
  }
  CHECK(memory->with(file.fd(), {1 << 30, 1 << 30, kPage, 0}, &error) == nullptr);
  CHECK_EQ(error, -ENOSPC);
  memory.reset();
  CHECK_EQ(mappingCount("vhost-test"), 1u);
}

TEST("RG-030 RG-031 RG-032 RG-033 RG-050: translate stays inside and splits at regions") {
  const SharedFile file(8 * kPage);
  int error = 0;
  // Given out of order: [1, 3) and [3, 4) adjoin, [6, 8) stands alone, [4, 6) is a hole.
  auto memory = GuestMemory().with(file.fd(), {6 * kPage, kUser + 6 * kPage, 2 * kPage, 0}, &error);
  memory = memory->with(file.fd(), {3 * kPage, kUser + 3 * kPage, kPage, 4 * kPage}, &error);
  memory = memory->with(file.fd(), {kPage, kUser + kPage, 2 * kPage, 6 * kPage}, &error);
  CHECK_EQ(error, 0);
  const struct {
    const char* what;
    uint64_t address;
    uint64_t bytes;
    size_t segments;  // 0: refused
  } rows[] = {
      {"first byte", kPage, 1, 1},
      {"one before", kPage - 1, 1, 0},
      {"last byte of adjoining regions", 4 * kPage - 1, 1, 1},
      {"one behind", 4 * kPage, 1, 0},
      {"last byte and one more", 4 * kPage - 1, 2, 0},
      {"over the joint", 3 * kPage - 1, 2, 2},
      {"both regions whole", kPage, 3 * kPage, 2},
      {"both regions and one more", kPage, 3 * kPage + 1, 0},
      {"over the hole", 3 * kPage, 4 * kPage, 0},
      {"behind the hole", 6 * kPage, 2 * kPage, 1},
      {"wraps", 8 * kPage - 1, UINT64_MAX, 0},
      {"address of this stack", reinterpret_cast<uint64_t>(&error), 1, 0},
      {"user address is no guest address", kUser + kPage, 1, 0},
  };
  for (const auto& row : rows) {
    std::vector<iovec> segments;
    const bool inside = memory->translate(row.address, row.bytes, &segments);
    uint64_t total = 0;
    for (const iovec& s : segments) total += s.iov_len;
    const bool right = inside == (row.segments > 0) &&
                       (!inside || (segments.size() == row.segments && total == row.bytes));
    if (!right) fail(__FILE__, __LINE__, row.what);
  }
  std::vector<iovec> none;
  CHECK(memory->translate(0xdead0000, 0, &none));
  CHECK(none.empty());
}

TEST("ring addresses: userToHost wants one region to hold the whole range") {
  const SharedFile file(4 * kPage);
  int error = 0;
  auto memory = GuestMemory().with(file.fd(), {kGuest, kUser, kPage, 0}, &error);
  memory = memory->with(file.fd(), {kGuest + kPage, kUser + kPage, kPage, kPage}, &error);
  CHECK_EQ(memory->userToHost(kUser, kPage), memory->region(0).host());
  CHECK_EQ(memory->userToHost(kUser + kPage + 8, 8), memory->region(1).host() + 8);
  CHECK(memory->userToHost(kUser + kPage - 1, 2) == nullptr);
  CHECK(memory->userToHost(kUser - 1, 1) == nullptr);
  CHECK(memory->userToHost(kUser + 2 * kPage, 1) == nullptr);
  CHECK(memory->userToHost(kUser + 8, UINT64_MAX) == nullptr);
  CHECK(memory->userToHost(kGuest, 1) == nullptr);
}

TEST("CS-083: a region is removed by its addresses and size, whatever its offset") {
  const SharedFile file(4 * kPage);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {kGuest, kUser, kPage, kPage}, &error);
  CHECK(memory->without({kGuest, kUser, 2 * kPage, kPage}) == nullptr);
  CHECK(memory->without({kGuest, kUser + 1, kPage, kPage}) == nullptr);
  CHECK(memory->without({kGuest + 1, kUser, kPage, kPage}) == nullptr);
  CHECK(GuestMemory().without({kGuest, kUser, kPage, 0}) == nullptr);
  const auto removed = memory->without({kGuest, kUser, kPage, 0});
  CHECK(removed != nullptr);
  CHECK_EQ(removed->regionCount(), 0u);
}

TEST("CS-081 CS-084: a snapshot keeps its regions mapped until its last owner lets go") {
  const SharedFile file(2 * kPage);
  int error = 0;
  auto before = GuestMemory().with(file.fd(), {kGuest, kUser, kPage, 0}, &error);
  auto both = before->with(file.fd(), {kGuest + kPage, kUser + kPage, kPage, kPage}, &error);
  uint8_t* host = both->userToHost(kUser, kPage);
  CHECK_EQ(before->userToHost(kUser, kPage), host);  // shared, not mapped again
  CHECK_EQ(mappingCount("vhost-test"), 3u);
  auto after = both->without({kGuest, kUser, kPage, 0});
  CHECK(after->userToHost(kUser, kPage) == nullptr);
  both.reset();
  before->userToHost(kUser, kPage)[0] = 42;
  CHECK_EQ(file.data()[0], 42);
  before.reset();
  CHECK_EQ(mappingCount("vhost-test"), 2u);
  after.reset();
  CHECK_EQ(mappingCount("vhost-test"), 1u);
}

TEST("a sparse region of 6 GiB is mapped whole: windows have no 4 GiB limit") {
  const uint64_t bytes = uint64_t{6} << 30;
  const SharedFile file(bytes);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {uint64_t{1} << 32, kUser, bytes, 0}, &error);
  CHECK_EQ(error, 0);
  std::vector<iovec> segments;
  CHECK(memory->translate((uint64_t{1} << 32) + bytes - 1, 1, &segments));
  *static_cast<uint8_t*>(segments[0].iov_base) = 99;
  CHECK_EQ(file.data()[bytes - 1], 99);
  segments.clear();
  CHECK(memory->translate(uint64_t{1} << 32, bytes, &segments));
  CHECK_EQ(segments[0].iov_len, bytes);
}

TEST("CS-077: a memfd that allows seals is sealed against shrinking, others are still taken") {
  const RegionDescription page{kGuest, kUser, kPage, 0};
  const SharedFile open(kPage, MFD_ALLOW_SEALING);
  int error = 0;
  const auto sealed = GuestMemory().with(open.fd(), page, &error);
  CHECK(sealed->region(0).sealed());
  CHECK(ftruncate(open.fd(), 0) != 0);
  const SharedFile plain(kPage);
  const auto unsealed = GuestMemory().with(plain.fd(), page, &error);
  CHECK(!unsealed->region(0).sealed());
}

}  // namespace
}  // namespace vhost::test
