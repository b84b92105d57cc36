#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "wire/connection_id.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

// One endpoint each, on a thread of its own.
inline constexpr std::uint32_t kMaxShards = 64;

// Which shard of a gateway a datagram belongs to: the one named in the connection id of a session packet
// (docs/protocol.md section 5, "Connection ids"). Whatever has no such id belongs to whoever received it:
// handshakes, netcode, and what is no datagram of the gateway at all.
//
// A filter in the kernel decides by the same four figures: a datagram of `least_size()` bytes or more whose
// first byte, under `kMask`, is `kPattern`, belongs to the shard of the number at `offset()` if that is below
// `shards()`.
class ShardSteering {
 public:
  static constexpr std::uint8_t kMask = kSessionMask;
  static constexpr std::uint8_t kPattern = kSessionByte;

  // `shards`: 1 to kMaxShards. `server_index`: the ids begin with that of the server. `id_length`: of the ids
  // that the gateway issues.
  constexpr ShardSteering(std::uint32_t shards, bool server_index, std::uint8_t id_length)
      : shards_(shards), place_(server_index ? 1 : 0), id_length_(id_length) {
    assert(shards >= 1 && shards <= kMaxShards && place_ < id_length);
  }

  [[nodiscard]] constexpr std::uint32_t shards() const { return shards_; }
  // Of the shard's number in a datagram, and the least that a session packet has.
  [[nodiscard]] constexpr std::uint32_t offset() const { return 1 + place_; }
  [[nodiscard]] constexpr std::uint32_t least_size() const {
    return static_cast<std::uint32_t>(kSessionOverhead) + id_length_ + 1;
  }

  // The shard that a datagram names; nothing when any may have it.
  [[nodiscard]] std::optional<std::uint32_t> shard_of(Bytes datagram) const {
    if (shards_ == 1 || datagram.size() < least_size()) return std::nullopt;
    if ((std::to_integer<std::uint8_t>(datagram[0]) & kMask) != kPattern) return std::nullopt;
    const auto shard = std::to_integer<std::uint32_t>(datagram[offset()]);
    return shard < shards_ ? std::optional(shard) : std::nullopt;
  }

  // Names the shard in the bytes of an id that it issues; with one shard ids name none.
  constexpr void name(std::uint32_t shard, ConnectionId& id) const {
    assert(shard < shards_ && id.length == id_length_);
    if (shards_ > 1) id.bytes[place_] = static_cast<std::byte>(shard);
  }

 private:
  std::uint32_t shards_;
  std::uint8_t place_;  // of the shard's number in an id
  std::uint8_t id_length_;
};

}  // namespace hawser
