// Runs every test, or those whose name or file contains argv[1].
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

struct Entry {
  const char* name;
  const char* file;
  void (*run)();
};

// In a function, because registrations run before main in no certain order.
std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}

bool runOne(const Entry& entry, int number) {
  const auto start = std::chrono::steady_clock::now();
  std::string trouble;
  std::string skipped;
  try {
    entry.run();
  } catch (const Failure& failure) {
    trouble = failure.what;
  } catch (const Skipped& skip) {
    skipped = " # SKIP " + skip.why;
  }
  const auto spent = std::chrono::steady_clock::now() - start;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(spent).count();
  std::printf("%s %d - %s: %s%s # time=%lldms\n", trouble.empty() ? "ok" : "not ok", number,
              fileName(entry.file), entry.name, skipped.c_str(), static_cast<long long>(ms));
  if (!trouble.empty()) std::printf("  # %s\n", trouble.c_str());
  std::fflush(stdout);
  return trouble.empty();
}

}  // namespace

Registration::Registration(const char* name, const char* file, void (*run)()) {
  entries().push_back({name, file, run});
}

int runAll(const char* filter) {
  int number = 0;
  int failed = 0;
  for (const Entry& entry : entries()) {
    const bool wanted = filter == nullptr || std::strstr(entry.name, filter) != nullptr ||
                        std::strstr(entry.file, filter) != nullptr;
    if (wanted && !runOne(entry, ++number)) failed++;
  }
  std::printf("1..%d\n# %d passed, %d failed\n", number, number - failed, failed);
  return failed > 0 || number == 0 ? 1 : 0;
}

}  // namespace vhost::test

int main(int argc, char** argv) {
  // As Node does for the process the core really lives in.
  std::signal(SIGPIPE, SIG_IGN);
  return vhost::test::runAll(argc > 1 ? argv[1] : nullptr);
}
