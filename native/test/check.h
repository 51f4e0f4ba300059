// A small test harness: TEST registers, a failed CHECK ends its test, the runner prints TAP.
#ifndef VHOST_TEST_CHECK_H_
#define VHOST_TEST_CHECK_H_

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace vhost::test {

// Thrown by a failed check. Only the thread that runs the test may check.
struct Failure {
  std::string what;
};

// Thrown by a test that can't run here.
struct Skipped {
  std::string why;
};

struct Registration {
  Registration(const char* name, const char* file, void (*run)());
};

[[noreturn]] inline void skip(std::string why) {
  throw Skipped{std::move(why)};
}

// Without its directories.
const char* fileName(const char* path);
[[noreturn]] void fail(const char* file, int line, const std::string& what);

// Holds any number of any type: thousands of comparisons share one function.
using Number = __int128;

template <typename T>
concept Countable = std::is_integral_v<T> || std::is_enum_v<T>;

void checkEqual(Number a, Number b, const char* text, const char* file, int line);
void checkEqual(double a, double b, const char* text, const char* file, int line);
void checkEqual(const void* a, const void* b, const char* text, const char* file, int line);
void checkEqual(std::string_view a, std::string_view b, const char* text, const char* file,
                int line);

template <Countable A, Countable B>
void checkEqual(A a, B b, const char* text, const char* file, int line) {
  checkEqual(static_cast<Number>(a), static_cast<Number>(b), text, file, line);
}

}  // namespace vhost::test

#define VHOST_JOIN_(a, b) a##b
#define VHOST_JOIN(a, b) VHOST_JOIN_(a, b)

#define TEST(name)                                                             \
  static void VHOST_JOIN(test, __LINE__)();                                    \
  static const ::vhost::test::Registration VHOST_JOIN(registration, __LINE__)( \
      name, __FILE__, VHOST_JOIN(test, __LINE__));                             \
  static void VHOST_JOIN(test, __LINE__)()

#define CHECK(condition) \
  if (!(condition)) ::vhost::test::fail(__FILE__, __LINE__, #condition)

#define CHECK_EQ(a, b) ::vhost::test::checkEqual((a), (b), #a " == " #b, __FILE__, __LINE__)

#endif  // VHOST_TEST_CHECK_H_
