#include "arguments.h"

#include <cmath>

namespace vhost {

Napi::TypeError Arguments::wrong(size_t index, const char* expected) const {
  return Napi::TypeError::New(
      info_.Env(), "argument " + std::to_string(index + 1) + " must be " + std::string(expected));
}

int64_t Arguments::integer(size_t index, int64_t min, int64_t max) const {
  if (!info_[index].IsNumber()) throw wrong(index, "a number");
  const double value = info_[index].As<Napi::Number>().DoubleValue();
  if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) ||
      std::trunc(value) != value) {
    throw wrong(index, "an integer in range");
  }
  return static_cast<int64_t>(value);
}

uint64_t Arguments::u64(size_t index) const {
  if (!info_[index].IsBigInt()) throw wrong(index, "a bigint");
  bool lossless = false;
  const uint64_t value = info_[index].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throw wrong(index, "a bigint of 64 bits");
  return value;
}

bool Arguments::boolean(size_t index) const {
  if (!info_[index].IsBoolean()) throw wrong(index, "a boolean");
  return info_[index].As<Napi::Boolean>().Value();
}

std::string Arguments::text(size_t index) const {
  if (!info_[index].IsString()) throw wrong(index, "a string");
  return info_[index].As<Napi::String>().Utf8Value();
}

Napi::Function Arguments::function(size_t index) const {
  if (!info_[index].IsFunction()) throw wrong(index, "a function");
  return info_[index].As<Napi::Function>();
}

Bytes Arguments::bytes(size_t index) const {
  if (!info_[index].IsTypedArray()) throw wrong(index, "a typed array");
  const Napi::TypedArray array = info_[index].As<Napi::TypedArray>();
  // Not by way of the buffer: napi knows none that is shared.
  void* data = nullptr;
  napi_get_typedarray_info(info_.Env(), array, nullptr, nullptr, &data, nullptr, nullptr);
  if (data == nullptr) return {nullptr, 0};
  return {static_cast<uint8_t*>(data), array.ByteLength()};
}

Bytes Arguments::range(size_t index) const {
  const Bytes whole = bytes(index);
  const auto length = static_cast<int64_t>(whole.length);
  const int64_t offset = integer(index + 1, 0, length);
  const int64_t count = integer(index + 2, 0, length - offset);
  return {whole.data + offset, static_cast<size_t>(count)};
}

}  // namespace vhost
