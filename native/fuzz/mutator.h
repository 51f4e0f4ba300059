// A thread that rewrites memory while the target reads it: a hostile guest on another CPU. Off,
// unless the environment has VHOST_FUZZ_MUTATOR: what it does is in no input, so nothing it leads
// to is kept in a corpus.
#ifndef VHOST_FUZZ_MUTATOR_H_
#define VHOST_FUZZ_MUTATOR_H_

#include <cstddef>
#include <cstdint>

namespace vhost::fuzz {

bool mutating();

// From here on the bytes at `base` change at any moment, to the end of the process. The first call
// counts; later ones do nothing.
void mutate(uint8_t* base, size_t bytes);

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_MUTATOR_H_
