// The seven packets of netcode 1.02 (its standard, sections "Packets" and "Reading Encrypted Packets").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/aead.hpp"
#include "wire/netcode_token.hpp"

namespace hawser::netcode {

enum class PacketType : std::uint8_t {
  kRequest = 0,
  kDenied = 1,
  kChallenge = 2,
  kResponse = 3,
  kKeepAlive = 4,
  kPayload = 5,
  kDisconnect = 6,
};
inline constexpr std::uint8_t kPacketTypes = 7;

inline constexpr std::size_t kRequestSize = 1 + kVersionSize + 8 + 8 + kNonceSize + kSealedPrivateTokenSize;
static_assert(kRequestSize == 1078);
inline constexpr std::size_t kMaxPayloadSize = 1200;
inline constexpr std::size_t kChallengeBodySize = 8 + kChallengeTokenSize;
inline constexpr std::size_t kKeepAliveBodySize = 8;
inline constexpr std::size_t kMaxHeaderSize = 1 + 8;
inline constexpr std::size_t kMinPacketSize = 1 + 1 + kTagSize;
inline constexpr std::size_t kMaxPacketSize = kMaxHeaderSize + kMaxPayloadSize + kTagSize;
// Of CHALLENGE and DENIED, whose sequence numbers have 8 bytes.
inline constexpr std::size_t kChallengeSize = kMaxHeaderSize + kChallengeBodySize + kTagSize;
inline constexpr std::size_t kDeniedSize = kMaxHeaderSize + kTagSize;

// Whether a datagram that begins with this byte can be one of netcode: a type below 7, and 1 to 8 bytes of
// sequence number, or a REQUEST. None begins as one of HAWSER, 101xxxxx, does.
[[nodiscard]] constexpr bool may_begin_packet(std::uint8_t first_byte) {
  const unsigned type = first_byte & 0x0fU;
  const unsigned sequence_bytes = first_byte >> 4U;
  if (first_byte == 0) return true;
  return type >= 1 && type < kPacketTypes && sequence_bytes >= 1 && sequence_bytes <= 8;
}

// ---- REQUEST

struct RequestView {
  std::uint64_t protocol_id = 0;
  std::uint64_t expire = 0;  // Unix seconds
  NonceView nonce;
  SealedPrivateTokenView sealed_private;
};

enum class RequestError : std::uint8_t {
  kLength,   // not 1,078 bytes
  kVersion,  // not "NETCODE 1.02"
};

void encode_request(std::span<std::byte, kRequestSize> out, const PublicToken& token);
// A datagram whose first byte is 0. Length and version only; the rest is the caller's to check. The view
// points into the datagram.
[[nodiscard]] Result<RequestView, RequestError> parse_request(Bytes datagram);

// ---- The encrypted packets

// A set of packet types.
using PacketTypes = std::uint8_t;
constexpr PacketTypes set_of(PacketType type) {
  return static_cast<PacketTypes>(1U << static_cast<unsigned>(type));
}
// What each side takes from the other, beside REQUEST.
inline constexpr PacketTypes kTypesToServer = set_of(PacketType::kResponse) | set_of(PacketType::kKeepAlive) |
                                              set_of(PacketType::kPayload) | set_of(PacketType::kDisconnect);
inline constexpr PacketTypes kTypesToClient = set_of(PacketType::kDenied) | set_of(PacketType::kChallenge) |
                                              set_of(PacketType::kKeepAlive) | set_of(PacketType::kPayload) |
                                              set_of(PacketType::kDisconnect);

// Types to which replay protection applies.
[[nodiscard]] constexpr bool is_replay_protected(PacketType type) { return type >= PacketType::kKeepAlive; }

struct PacketHeader {
  PacketType type{};
  std::uint8_t prefix = 0;
  std::uint8_t size = 0;  // of prefix and sequence number, 2 to 9
  std::uint64_t sequence = 0;
};

// Why a packet is ignored before a key is looked for, in the order in which the standard has it.
enum class PacketError : std::uint8_t {
  kLength,    // shorter than 18 bytes, or than its sequence number and tag
  kType,      // 7 or more
  kRole,      // not for this side
  kSequence,  // not 1 to 8 bytes of sequence number
};

// Reads the header of an encrypted packet. Sequence numbers need not be in the shortest form.
[[nodiscard]] Result<PacketHeader, PacketError> parse_header(Bytes datagram, PacketTypes taken);

// What is authenticated beside the body: version, protocol id and the prefix byte.
class AssociatedData {
 public:
  static constexpr std::size_t kSize = kVersionSize + 8 + 1;
  explicit AssociatedData(std::uint64_t protocol_id);
  [[nodiscard]] std::array<std::byte, kSize> with(std::uint8_t prefix) const;

 private:
  std::array<std::byte, kSize> bytes_{};
};

// Bytes of a sequence number in its shortest form, 1 to 8.
[[nodiscard]] std::size_t sequence_size(std::uint64_t sequence);

// Writes a packet to the start of `out`, which has room for kMaxHeaderSize + body.size() + kTagSize bytes
// (more than the packet may need) and does not overlap `body`, with the sequence number in its shortest form;
// returns its size. `body` has the size of its type. A sequence number must never be used twice with one key.
std::size_t seal_packet(MutableBytes out, PacketType type, std::uint64_t sequence, Bytes body,
                        const PacketKey& key, const AssociatedData& associated_data);

// Opens the packet in place: its body, or nothing when it was not sealed with this key and header; what
// stands between header and tag is then zeros, so that only one key can be tried. The body points into the
// datagram; its size is for is_body_size() to judge.
[[nodiscard]] std::optional<Bytes> open_packet(MutableBytes datagram, const PacketHeader& header,
                                               const PacketKey& key, const AssociatedData& associated_data);

// Whether a body of that type may have so many bytes; of a REQUEST, whatever follows its first byte is the
// body.
[[nodiscard]] bool is_body_size(PacketType type, std::size_t size);

// The body of CHALLENGE and of RESPONSE, which echoes it.
struct ChallengeBody {
  std::uint64_t sequence = 0;  // of the challenge token
  SealedChallengeToken token{};
};
void encode_challenge(std::span<std::byte, kChallengeBodySize> out, const ChallengeBody& body);
[[nodiscard]] ChallengeBody decode_challenge(std::span<const std::byte, kChallengeBodySize> body);

// The body of KEEP_ALIVE; a client sends zeros.
struct KeepAliveBody {
  std::uint32_t client_index = 0;
  std::uint32_t max_clients = 0;
};
[[nodiscard]] std::array<std::byte, kKeepAliveBodySize> encode_keep_alive(const KeepAliveBody& body);
[[nodiscard]] KeepAliveBody decode_keep_alive(std::span<const std::byte, kKeepAliveBodySize> body);

}  // namespace hawser::netcode
