// Runs every target over its corpus, and over what a simple mutation makes of it, without
// libFuzzer: what any compiler with AddressSanitizer can do in a few seconds.
//   replay CORPORA MILLISECONDS   (for each target; CORPORA has a directory for each)
#ifdef VHOST_FUZZ_REPLAY

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "target.h"

namespace vhost::fuzz {
namespace {

using Bytes = std::vector<uint8_t>;

struct Target {
  std::string name;
  TargetFunction run;
};

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

std::vector<Bytes> corpusIn(const std::filesystem::path& directory) {
  std::vector<Bytes> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// The head of one input, the tail of another, some bytes changed.
Bytes mutation(const std::vector<Bytes>& corpus, std::minstd_rand* random) {
  const Bytes& head = corpus[(*random)() % corpus.size()];
  const Bytes& tail = corpus[(*random)() % corpus.size()];
  Bytes made(head.begin(), head.begin() + static_cast<ptrdiff_t>((*random)() % (head.size() + 1)));
  made.insert(made.end(), tail.begin() + static_cast<ptrdiff_t>((*random)() % (tail.size() + 1)),
              tail.end());
  for (uint32_t i = (*random)() % 4; i > 0 && !made.empty(); i--) {
    made[(*random)() % made.size()] = static_cast<uint8_t>((*random)());
  }
  return made;
}

// A heap block of exactly its size, so that reading past an input is seen.
void run(const Target& target, const Bytes& input) {
  target.run(Bytes(input).data(), input.size());
}

bool replay(const Target& target, const std::filesystem::path& corpora,
            std::chrono::milliseconds limit) {
  const std::vector<Bytes> corpus = corpusIn(corpora / target.name);
  if (corpus.empty()) return false;
  for (const Bytes& input : corpus) run(target, input);
  std::minstd_rand random(1);  // the same each time: what fails, fails again
  uint64_t mutations = 0;
  const auto start = std::chrono::steady_clock::now();
  for (; std::chrono::steady_clock::now() - start < limit; mutations++) {
    run(target, mutation(corpus, &random));
  }
  std::printf("# fuzz %s: %zu inputs, %llu mutations\n", target.name.c_str(), corpus.size(),
              static_cast<unsigned long long>(mutations));
  return true;
}

}  // namespace

TargetRegistration::TargetRegistration(const char* file, TargetFunction run) {
  const std::string stem = std::filesystem::path(file).stem().string();
  targets().push_back({stem.substr(0, stem.rfind("-fuzz")), run});
}

}  // namespace vhost::fuzz

int main(int argc, char** argv) {
  using namespace vhost::fuzz;
  if (argc != 3) return 2;
  bool ok = !targets().empty();
  for (const Target& target : targets()) {
    ok &= replay(target, argv[1], std::chrono::milliseconds(std::atoi(argv[2])));
  }
  return ok ? 0 : 1;
}

#endif  // VHOST_FUZZ_REPLAY
