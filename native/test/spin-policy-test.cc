#include "spin-policy.h"

#include "check.h"

namespace vhost::test {
namespace {

constexpr uint64_t kShortNs = 20'000;
constexpr uint64_t kLongNs = 1'000'000;

TEST("never without a limit, however busy") {
  SpinPolicy policy(0);
  for (int i = 0; i < 100; i++) policy.observe(0);
  CHECK(!policy.worthIt());
}

TEST("starts asleep, learns from short waits, two long ones end it") {
  SpinPolicy policy(50);
  CHECK_EQ(policy.limitNs(), 50'000u);
  CHECK(!policy.worthIt());
  policy.observe(kShortNs);
  CHECK(policy.worthIt());
  for (int i = 0; i < 1000; i++) policy.observe(kShortNs);
  policy.observe(kLongNs);
  CHECK(policy.worthIt());
  policy.observe(kLongNs);
  CHECK(!policy.worthIt());
}

TEST("off while idle or slow: one short wait in five is not enough to go on") {
  SpinPolicy policy(50);
  int spins = 0;
  for (int i = 0; i < 1000; i++) {
    policy.observe(i % 5 == 0 ? kShortNs : kLongNs);
    if (policy.worthIt()) spins++;
  }
  CHECK(spins <= 200);
  policy.observe(50'000);
  CHECK(policy.worthIt());  // the limit itself still counts as short
  policy.observe(50'001);
  CHECK(!policy.worthIt());
}

}  // namespace
}  // namespace vhost::test
