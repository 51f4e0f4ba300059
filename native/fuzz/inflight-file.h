// The file of an inflight area, described and filled by the input.
#ifndef VHOST_FUZZ_INFLIGHT_FILE_H_
#define VHOST_FUZZ_INFLIGHT_FILE_H_

#include <memory>

#include "inflight-area.h"
#include "input.h"

namespace vhost::fuzz {

class InflightFile {
 public:
  explicit InflightFile(Input* input);
  ~InflightFile();
  InflightFile(const InflightFile&) = delete;
  InflightFile& operator=(const InflightFile&) = delete;

  // nullptr: the description was refused.
  const std::shared_ptr<InflightArea>& area() const { return area_; }
  // A header and some entries as a back-end may have left them, nearly.
  void fill(Input* input, uint32_t queue, bool packed);

 private:
  void fillSplit(Input* input, uint8_t* region) const;
  void fillPacked(Input* input, uint8_t* region) const;

  InflightDescription description_{};
  std::shared_ptr<InflightArea> area_;
  void* poisoned_ = nullptr;
  size_t poisonedBytes_ = 0;
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_INFLIGHT_FILE_H_
