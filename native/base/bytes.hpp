#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace hawser {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// The bytes of a string, without a terminator; for labels and tests.
inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// Whether every byte is zero. Always looks at all of them, so the time taken says nothing about the content.
inline bool all_zero(Bytes bytes) {
  std::byte seen{0};
  for (const std::byte value : bytes) seen |= value;
  return seen == std::byte{0};
}

// Copies as memcpy does. Where GCC knows that a size is small, but not what it is, it makes "rep movs" of a
// memcpy, which takes longer to begin than a call takes to copy a message. It leaves memmove alone.
inline void copy_bytes(void* to, const void* from, std::size_t size) { std::memmove(to, from, size); }

// Reads an unsigned integer, least significant byte first, from the first sizeof(T) bytes at `from`.
template <class T>
  requires std::is_unsigned_v<T>
T load_little_endian(const std::byte* from) {
  T value = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&value, from, sizeof(T));
  } else {
    for (std::size_t i = sizeof(T); i-- > 0;) {
      value = static_cast<T>((std::uint64_t{value} << 8U) | std::to_integer<std::uint64_t>(from[i]));
    }
  }
  return value;
}

// Writes an unsigned integer, least significant byte first, to the first sizeof(T) bytes at `to`.
template <class T>
  requires std::is_unsigned_v<T>
void store_little_endian(std::byte* to, T value) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(to, &value, sizeof(T));
  } else {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      to[i] = static_cast<std::byte>(std::uint64_t{value} >> (8U * i));
    }
  }
}

// The largest value of a variable-length integer, RFC 9000 section 16.
inline constexpr std::uint64_t kVarintMax = (std::uint64_t{1} << 62U) - 1;

// Bytes that varint() writes for `value`: 1, 2, 4 or 8, always the shortest form. `value` <= kVarintMax.
constexpr std::size_t varint_size(std::uint64_t value) {
  assert(value <= kVarintMax);
  if (value < (1U << 6U)) return 1;
  if (value < (1U << 14U)) return 2;
  if (value < (1U << 30U)) return 4;
  return 8;
}

// Reads fields one after another from a span it does not own. Failure is sticky: after the first read past
// the end ok() is false, nothing remains, and every read gives zero or an empty span. A codec therefore reads
// all its fields and looks at ok() once; nothing it read before that may be acted upon.
class ByteReader {
 public:
  explicit ByteReader(Bytes data) : data_(data) {}

  [[nodiscard]] bool ok() const { return ok_; }

  // All fields were there and nothing is left over.
  [[nodiscard]] bool finished() const { return ok_ && remaining() == 0; }

  // Bytes not yet read; 0 after a failure.
  [[nodiscard]] std::size_t remaining() const { return data_.size() - position_; }

  // Bytes read so far; after a failure, where the first failing read began.
  [[nodiscard]] std::size_t position() const { return position_; }

  std::uint8_t u8() { return integer<std::uint8_t>(); }
  std::uint16_t u16() { return integer<std::uint16_t>(); }
  std::uint32_t u32() { return integer<std::uint32_t>(); }
  std::uint64_t u64() { return integer<std::uint64_t>(); }

  // Variable-length integer, RFC 9000 section 16 (the one big-endian field). As there, longer forms than
  // needed are accepted; whoever needs a canonical form compares position() with varint_size().
  std::uint64_t varint() {
    if (remaining() == 0) {
      fail();
      return 0;
    }
    const auto first = std::to_integer<std::uint64_t>(data_[position_]);
    // The two short forms without the loop: what most packets are full of.
    if (first < 0x40U) {
      ++position_;
      return first;
    }
    if (first < 0x80U && remaining() >= 2) {
      const auto second = std::to_integer<std::uint64_t>(data_[position_ + 1]);
      position_ += 2;
      return ((first & 0x3fU) << 8U) | second;
    }
    const Bytes encoded = bytes(std::size_t{1} << (first >> 6U));
    if (!ok_) return 0;
    std::uint64_t value = first & 0x3fU;
    for (const std::byte next : encoded.subspan(1))
      value = (value << 8U) | std::to_integer<std::uint64_t>(next);
    return value;
  }

  // The next `count` bytes, in place; empty on failure.
  Bytes bytes(std::size_t count) {
    if (count > remaining()) {
      fail();
      return {};
    }
    const Bytes result = data_.subspan(position_, count);
    position_ += count;
    return result;
  }

  // The next N bytes, copied; zeros on failure.
  template <std::size_t N>
  std::array<std::byte, N> array() {
    std::array<std::byte, N> result{};
    const Bytes from = bytes(N);
    if (!from.empty()) std::memcpy(result.data(), from.data(), N);
    return result;
  }

  void skip(std::size_t count) { static_cast<void>(bytes(count)); }

  // Everything that is left, possibly nothing.
  Bytes rest() { return bytes(remaining()); }

  // Marks the input as bad; for a codec that finds a value out of range.
  void fail() {
    ok_ = false;
    data_ = data_.first(position_);
  }

 private:
  template <class T>
  T integer() {
    if (sizeof(T) > remaining()) {
      fail();
      return 0;
    }
    const T value = load_little_endian<T>(data_.data() + position_);
    position_ += sizeof(T);
    return value;
  }

  Bytes data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

// Writes fields one after another into a span it does not own. Failure is sticky as in ByteReader: a field
// that does not fit is not begun, and nothing is written after it.
class ByteWriter {
 public:
  explicit ByteWriter(MutableBytes data) : data_(data) {}

  [[nodiscard]] bool ok() const { return ok_; }

  // Bytes that still fit; 0 after a failure.
  [[nodiscard]] std::size_t remaining() const { return data_.size() - position_; }

  // Bytes written so far; after a failure, where the first field that did not fit would have begun.
  [[nodiscard]] std::size_t position() const { return position_; }

  // What was written. Empty after a failure, so that half a packet is never sent by mistake.
  [[nodiscard]] Bytes written() const { return ok_ ? Bytes(data_.first(position_)) : Bytes(); }

  void u8(std::uint8_t value) { integer(value); }
  void u16(std::uint16_t value) { integer(value); }
  void u32(std::uint32_t value) { integer(value); }
  void u64(std::uint64_t value) { integer(value); }

  // Variable-length integer in its shortest form, RFC 9000 section 16. Fails when value > kVarintMax.
  void varint(std::uint64_t value) {
    if (value > kVarintMax) {
      fail();
      return;
    }
    const std::size_t size = varint_size(value);
    const MutableBytes to = take(size);
    if (!ok_) return;
    for (std::size_t i = size; i-- > 0; value >>= 8U) to[i] = static_cast<std::byte>(value);
    to[0] |= static_cast<std::byte>(std::countr_zero(size) << 6U);
  }

  void bytes(Bytes source) {
    const MutableBytes to = take(source.size());
    if (!to.empty()) std::memcpy(to.data(), source.data(), source.size());
  }

  // The next `count` bytes, for the caller to fill; empty when there is no room for them.
  MutableBytes space(std::size_t count) { return take(count); }

  void zeros(std::size_t count) {
    const MutableBytes to = take(count);
    if (!to.empty()) std::memset(to.data(), 0, to.size());
  }

  // Marks the output as bad; for a codec that is given a value it cannot encode.
  void fail() {
    ok_ = false;
    data_ = data_.first(position_);
  }

 private:
  MutableBytes take(std::size_t count) {
    if (count > remaining()) {
      fail();
      return {};
    }
    const MutableBytes result = data_.subspan(position_, count);
    position_ += count;
    return result;
  }

  template <class T>
  void integer(T value) {
    const MutableBytes to = take(sizeof(T));
    if (!to.empty()) store_little_endian(to.data(), value);
  }

  MutableBytes data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace hawser
