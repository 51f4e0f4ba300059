// Runs every test, or those whose name or file contains argv[1].
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sstream>
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

const char* baseName(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

template <typename T>
void compare(const T& a, const T& b, const char* text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream out;
  out << text << ": " << a << " != " << b;
  fail(file, line, out.str());
}

std::string decimal(Number number) {
  const bool negative = number < 0;
  auto magnitude = static_cast<unsigned __int128>(negative ? -number : number);
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + magnitude % 10));
    magnitude /= 10;
  } while (magnitude > 0);
  return negative ? "-" + digits : digits;
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
              baseName(entry.file), entry.name, skipped.c_str(), static_cast<long long>(ms));
  if (!trouble.empty()) std::printf("  # %s\n", trouble.c_str());
  std::fflush(stdout);
  return trouble.empty();
}

}  // namespace

Registration::Registration(const char* name, const char* file, void (*run)()) {
  entries().push_back({name, file, run});
}

void fail(const char* file, int line, const std::string& what) {
  throw Failure{std::string(baseName(file)) + ":" + std::to_string(line) + ": " + what};
}

void checkEqual(Number a, Number b, const char* text, const char* file, int line) {
  if (a != b) compare(decimal(a), decimal(b), text, file, line);
}

void checkEqual(double a, double b, const char* text, const char* file, int line) {
  compare(a, b, text, file, line);
}

void checkEqual(const void* a, const void* b, const char* text, const char* file, int line) {
  compare(a, b, text, file, line);
}

void checkEqual(std::string_view a, std::string_view b, const char* text, const char* file,
                int line) {
  compare(a, b, text, file, line);
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
