#include "inflight-area.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint64_t kFileBytes = 16384;

TEST("sizes of a queue's region, split and packed") {
  const struct {
    uint32_t queueSize;
    uint64_t split;
    uint64_t packed;
  } rows[] = {{1, 64, 64},       {2, 64, 128},      {3, 64, 128},         {8, 192, 320},
              {128, 2112, 4160}, {256, 4160, 8256}, {1024, 16448, 32832}, {32768, 524352, 1048640}};
  for (const auto& row : rows) {
    CHECK_EQ(InflightArea::queueBytes(InflightFormat::kSplit, row.queueSize), row.split);
    CHECK_EQ(InflightArea::queueBytes(InflightFormat::kPacked, row.queueSize), row.packed);
  }
}

TEST("an area is made zeroed, and sealed against growing and shrinking") {
  const int fd = InflightArea::create(InflightFormat::kPacked, 3, 128);
  CHECK(fd >= 0);
  struct stat status;
  CHECK_EQ(fstat(fd, &status), 0);
  CHECK_EQ(status.st_size, 3 * 4160);
  CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK);
  CHECK_EQ(ftruncate(fd, 0), -1);
  uint8_t bytes[64] = {1};
  CHECK_EQ(pread(fd, bytes, sizeof bytes, 4160), static_cast<ssize_t>(sizeof bytes));
  for (const uint8_t byte : bytes) CHECK_EQ(byte, 0);
  close(fd);
}

TEST("CS-150: an area for no queue, or for queues too large, is not made") {
  for (const InflightFormat format : {InflightFormat::kSplit, InflightFormat::kPacked}) {
    CHECK_EQ(InflightArea::create(format, 0, 8), -EINVAL);
    CHECK_EQ(InflightArea::create(format, 1, 0), -EINVAL);
    CHECK_EQ(InflightArea::create(format, 1, 65535), -EINVAL);
  }
}

TEST("CS-152: what a front-end says of an area") {
  const SharedFile file(kFileBytes);
  const TemporaryFile regular(kFileBytes);
  const int readOnly = open(("/proc/self/fd/" + std::to_string(file.fd())).c_str(), O_RDONLY);
  const int directory = open("/", O_RDONLY | O_DIRECTORY);
  constexpr uint64_t kMax = ~uint64_t{0};
  const struct {
    const char* what;
    int fd;
    InflightDescription description;
    int error;
  } rows[] = {
      {"as it should be", file.fd(), {384, 0, 2, 8}, 0},
      {"a regular file", regular.fd(), {384, 0, 2, 8}, 0},
      {"behind an offset", file.fd(), {384, 4096 + 64, 2, 8}, 0},
      {"to the last byte", file.fd(), {384, kFileBytes - 384, 2, 8}, 0},
      {"no queue", file.fd(), {384, 0, 0, 8}, -EINVAL},
      {"queues of no size", file.fd(), {384, 0, 2, 0}, -EINVAL},
      {"queues too large", file.fd(), {kFileBytes, 0, 1, 65535}, -EINVAL},
      {"size 0", file.fd(), {0, 0, 2, 8}, -EINVAL},
      {"size one byte short", file.fd(), {383, 0, 2, 8}, -EINVAL},
      {"room for one queue", file.fd(), {192, 0, 2, 8}, -EINVAL},
      {"65535 queues", file.fd(), {384, 0, 65535, 8}, -EINVAL},
      {"odd offset", file.fd(), {384, 4, 2, 8}, -EINVAL},
      {"offset that wraps", file.fd(), {384, kMax - 127, 2, 8}, -EINVAL},
      {"size that wraps", file.fd(), {kMax - 63, 4096, 2, 8}, -EINVAL},
      {"one byte behind the file", file.fd(), {384, kFileBytes - 376, 2, 8}, -EOVERFLOW},
      {"size behind the file", file.fd(), {kFileBytes + 1, 0, 2, 8}, -EOVERFLOW},
      {"read-only", readOnly, {384, 0, 2, 8}, -EACCES},
      {"a directory", directory, {384, 0, 2, 8}, -EBADF},
  };
  for (const auto& row : rows) {
    int error = 1;
    const auto area = InflightArea::map(row.fd, row.description, &error);
    if (error != row.error || (area == nullptr) != (error != 0)) {
      fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
    }
  }
  close(readOnly);
  close(directory);
}

TEST("where queues begin follows from the size of the whole area") {
  const SharedFile file(kFileBytes);
  int error = 0;
  const auto ours = InflightArea::map(file.fd(), {384, 0, 2, 8}, &error);
  CHECK_EQ(ours->queue(1, InflightFormat::kSplit) - ours->queue(0, InflightFormat::kSplit), 192);
  CHECK(ours->queue(2, InflightFormat::kSplit) == nullptr);
  CHECK(ours->covers(1));
  CHECK(!ours->covers(2));
  CHECK(ours->queue(0, InflightFormat::kPacked) == nullptr);
  const auto wider = InflightArea::map(file.fd(), {8192, 0, 2, 8}, &error);
  CHECK_EQ(wider->queue(1, InflightFormat::kPacked) - wider->queue(0, InflightFormat::kPacked),
           4096);
}

TEST("CS-152: an area truncated later is known as lost, not fallen over") {
  const TemporaryFile file(kFileBytes);
  int error = 0;
  const auto area = InflightArea::map(file.fd(), {384, 0, 2, 8}, &error);
  CHECK(!area->poisoned());
  CHECK_EQ(ftruncate(file.fd(), 0), 0);
  *area->queue(1, InflightFormat::kSplit) = 1;
  CHECK(area->poisoned());
}

}  // namespace
}  // namespace vhost::test
