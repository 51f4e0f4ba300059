#include "check.h"

#include <cstring>
#include <sstream>

namespace vhost::test {

const char* fileName(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

namespace {

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

}  // namespace

void fail(const char* file, int line, const std::string& what) {
  throw Failure{std::string(fileName(file)) + ":" + std::to_string(line) + ": " + what};
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

}  // namespace vhost::test
