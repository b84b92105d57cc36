// The name by which a receiver finds the connection of a session packet (docs/protocol.md section 5).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "base/siphash.hpp"

namespace hawser {

// 4 to 16 bytes, chosen by the receiver. The bytes beyond `length` are zero, so that whole structs may be
// compared.
struct ConnectionId {
  static constexpr std::size_t kMin = 4;
  static constexpr std::size_t kMax = 16;

  std::uint8_t length = 0;  // 0: no id
  std::array<std::byte, kMax> bytes{};

  // Nothing unless there are 4 to 16 bytes.
  [[nodiscard]] static std::optional<ConnectionId> from(Bytes source) {
    if (source.size() < kMin || source.size() > kMax) return std::nullopt;
    ConnectionId id;
    id.length = static_cast<std::uint8_t>(source.size());
    std::copy(source.begin(), source.end(), id.bytes.begin());
    return id;
  }

  [[nodiscard]] Bytes view() const { return Bytes(bytes.data(), length); }

  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
};

// For HashMap. The length need not enter: two ids of different length that agree otherwise share a bucket, no
// more.
[[nodiscard]] inline std::uint64_t hash_value(const SipKey& key, const ConnectionId& id) {
  return siphash13(key, id.bytes);
}

}  // namespace hawser
