#include "page-cache-view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "check.h"

namespace vhost::test {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPages = 64;

// A file on a disk, gone with the object. Page n holds the byte n + 1.
class DiskFile {
 public:
  explicit DiskFile(uint64_t bytes = kPages * kPage) {
    // Not the temporary directory: that may be a tmpfs.
    char name[] = ".cache/page-cache-view-XXXXXX";
    fd_ = mkstemp(name);
    CHECK(fd_ >= 0);
    unlink(name);
    for (uint64_t page = 0; page < kPages; page++) {
      const std::string content(kPage, static_cast<char>(page + 1));
      CHECK_EQ(pwrite(fd_, content.data(), kPage, static_cast<off_t>(page * kPage)),
               static_cast<ssize_t>(kPage));
    }
    CHECK_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0);
  }
  ~DiskFile() { close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Reader {
  explicit Reader(const DiskFile& file) : view(PageCacheView::open(file.fd())) {}
  // False: the kernel must be asked.
  bool read(uint64_t offset, uint64_t bytes) {
    std::memset(buffer, 0, sizeof buffer);
    // Two segments, neither aligned to anything.
    const uint64_t first = bytes / 3;
    return view->read(offset, {{buffer, first}, {buffer + first, bytes - first}}, bytes);
  }
  std::unique_ptr<PageCacheView> view;
  uint8_t buffer[8 * kPage];
};

TEST("what the kernel has moved is copied from then on, nothing else is") {
  const DiskFile file;
  Reader reader(file);
  CHECK(reader.view != nullptr);
  CHECK(!reader.read(0, kPage));
  reader.view->learn(2 * kPage, 3 * kPage);
  CHECK_EQ(reader.view->pagesKnown(), 3u);
  CHECK(!reader.read(kPage, kPage));
  CHECK(!reader.read(kPage, 2 * kPage));
  CHECK(!reader.read(4 * kPage, kPage + 1));
  CHECK(reader.read(2 * kPage, 3 * kPage));
  for (uint64_t i = 0; i < 3 * kPage; i++) CHECK_EQ(reader.buffer[i], 3 + i / kPage);
  CHECK(reader.read(3 * kPage + 100, 512));
  CHECK_EQ(reader.buffer[511], 4);
}

TEST("a page that moved in part is not known") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn(100, kPage);
  CHECK_EQ(reader.view->pagesKnown(), 0u);
  reader.view->learn(100, 3 * kPage);
  CHECK_EQ(reader.view->pagesKnown(), 2u);
  CHECK(!reader.read(0, kPage));
  CHECK(reader.read(kPage, 2 * kPage));
}

TEST("the end of the file, and numbers beyond it") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn((kPages - 1) * kPage, UINT64_MAX);
  CHECK_EQ(reader.view->pagesKnown(), 1u);
  CHECK(reader.read((kPages - 1) * kPage, kPage));
  CHECK(!reader.read((kPages - 1) * kPage, kPage + 1));
  CHECK(!reader.view->read(UINT64_MAX - 100, {}, 200));
  reader.view->learn(UINT64_MAX - 100, 200);
  CHECK_EQ(reader.view->pagesKnown(), 1u);
}

TEST("what others write is seen, what is dropped is no longer known") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn(0, 8 * kPage);
  CHECK_EQ(pwrite(file.fd(), "new", 3, kPage), 3);
  CHECK(reader.read(kPage, 3));
  CHECK_EQ(std::memcmp(reader.buffer, "new", 3), 0);
  reader.view->unlearn(kPage + 1, kPage);
  CHECK_EQ(reader.view->pagesKnown(), 6u);
  CHECK(reader.read(0, kPage));
  CHECK(!reader.read(kPage, kPage));
  CHECK(!reader.read(2 * kPage, kPage));
  reader.view->unlearn(0, UINT64_MAX);
  CHECK_EQ(reader.view->pagesKnown(), 0u);
}

TEST("a file cut short: no zeroes are taken for data, then or later") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn(0, kPages * kPage);
  CHECK(reader.read(8 * kPage, kPage));
  CHECK_EQ(ftruncate(file.fd(), kPage), 0);
  CHECK(!reader.read(8 * kPage, kPage));
  CHECK(!reader.read(0, kPage));
}

TEST("copies that waited for the disk: everything is forgotten, and the view rests") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn(0, kPages * kPage);
  CHECK_EQ(fsync(file.fd()), 0);
  CHECK_EQ(posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  uint32_t copied = 0;
  while (copied < PageCacheView::kCopiesPerCheck && reader.read(copied * kPage, kPage)) {
    CHECK_EQ(reader.buffer[0], copied + 1);  // slow, and right
    copied++;
  }
  CHECK_EQ(copied, PageCacheView::kCopiesPerCheck);
  CHECK_EQ(reader.view->pagesKnown(), 0u);
  reader.view->learn(0, kPage);
  CHECK_EQ(reader.view->pagesKnown(), 0u);
}

TEST("after the rest it learns again") {
  const DiskFile file;
  Reader reader(file);
  reader.view->learn(0, kPage);
  reader.view->rest();
  CHECK(!reader.read(0, kPage));
  usleep(1100000);
  reader.view->learn(0, kPage);
  CHECK(reader.read(0, kPage));
}

TEST("no more page tables than the limit") {
  const DiskFile file((PageCacheView::kPagesKnownMax + 64) * kPage);
  Reader reader(file);
  reader.view->learn(0, PageCacheView::kPagesKnownMax * kPage);
  CHECK_EQ(reader.view->pagesKnown(), PageCacheView::kPagesKnownMax);
  reader.view->learn(PageCacheView::kPagesKnownMax * kPage, kPage);
  CHECK_EQ(reader.view->pagesKnown(), 1u);
}

TEST("no view of what has no page cache of its own") {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK(PageCacheView::open(ends[0]) == nullptr);
  close(ends[0]);
  close(ends[1]);
  const int memory = memfd_create("tmpfs", MFD_CLOEXEC);
  CHECK_EQ(ftruncate(memory, 1 << 20), 0);
  CHECK(PageCacheView::open(memory) == nullptr);
  close(memory);
  CHECK(PageCacheView::open(-1) == nullptr);
}

}  // namespace
}  // namespace vhost::test
