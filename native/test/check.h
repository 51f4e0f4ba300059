// A small test harness: TEST registers, a failed CHECK ends its test, the runner prints TAP.
#ifndef VHOST_TEST_CHECK_H_
#define VHOST_TEST_CHECK_H_

#include <cstdint>
#include <sstream>
#include <string>
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

[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <typename T>
void print(std::ostringstream& out, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<std::underlying_type_t<T>>(value);
  } else if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>) {
    out << static_cast<int>(value);
  } else {
    out << value;
  }
}

// std::cmp_equal takes neither truth values nor characters.
template <typename T>
constexpr bool isNumber =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

template <typename A, typename B>
bool same(const A& a, const B& b) {
  if constexpr (isNumber<A> && isNumber<B>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <typename A, typename B>
void checkEqual(const A& a, const B& b, const char* text, const char* file, int line) {
  if (same(a, b)) return;
  std::ostringstream out;
  out << text << ": ";
  print(out, a);
  out << " != ";
  print(out, b);
  fail(file, line, out.str());
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
