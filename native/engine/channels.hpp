// What an endpoint's user declares of its channels (docs/protocol.md section 12).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hawser {

// The numbers are those of the declaration's digest.
enum class ChannelMode : std::uint8_t {
  kUnreliable = 0,
  kSequenced = 1,
  kReliable = 2,  // ordered
  kReliableUnordered = 3,
};

[[nodiscard]] constexpr bool is_reliable(ChannelMode mode) { return mode >= ChannelMode::kReliable; }

// Which of the messages that wait for a peer go first. Local to the sender, and no part of the digest.
enum class ChannelPriority : std::uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3 };
inline constexpr std::size_t kPriorities = 4;

inline constexpr std::size_t kMaxChannels = 1024;
inline constexpr std::size_t kMaxChannelNameSize = 64;
inline constexpr std::uint32_t kDefaultMaxMessageBytes = 64 * 1024;
inline constexpr std::uint32_t kGreatestMaxMessageBytes = 16 * 1024 * 1024;
inline constexpr std::uint8_t kMaxRedundancy = 3;
// Messages are repeated while the path loses packets (docs/protocol.md section 12, Redundancy).
inline constexpr std::uint8_t kAutoRedundancy = kMaxRedundancy + 1;

struct ChannelDeclaration {
  std::string name;   // 1 to kMaxChannelNameSize bytes
  std::string codec;  // 0 to kMaxChannelNameSize bytes: what both sides take the bytes for
  ChannelMode mode = ChannelMode::kUnreliable;
  ChannelPriority priority = ChannelPriority::kNormal;
  // Not for kUnreliable, whose messages fit into one packet: 0.
  std::uint32_t max_message_bytes = 0;
  // Of kUnreliable: messages wait until congestion control lets them go. Local to the sender, and no part of
  // the digest.
  bool congestion_controlled = false;
  // Not of kUnreliable, whose messages have no numbers: in how many later packets a message is repeated at
  // most, until it is acknowledged; or kAutoRedundancy. Local to the sender, and no part of the digest.
  std::uint8_t redundancy = 0;
};

// By number. What an endpoint has whose user declares none: one unreliable channel.
[[nodiscard]] inline std::vector<ChannelDeclaration> default_channels() {
  return {ChannelDeclaration{"default", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0}};
}

}  // namespace hawser
