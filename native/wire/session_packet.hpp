// The clear header of session packets and the packet number behind it (docs/protocol.md section 5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "crypto/aead.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

// Without the connection id: first byte, packet number, tag.
inline constexpr std::size_t kSessionOverhead = 1 + 4 + kTagSize;
inline constexpr std::size_t kMaxSessionHeaderSize = 1 + ConnectionId::kMax + 4;

inline constexpr std::size_t kMaxSentDatagram = 1200;
inline constexpr std::size_t kMaxReceivedDatagram = 9216;

[[nodiscard]] constexpr std::size_t session_header_size(std::size_t id_length) { return 1 + id_length + 4; }

struct SessionHeader {
  std::uint8_t epoch_bits;  // low two bits of the key epoch
  Bytes connection_id;
  std::uint32_t truncated_packet_number;
  std::size_t size;  // of the header: the associated data is the datagram's first `size` bytes, ciphertext
                     // and tag the rest
};

// Writes the header to the start of `out`, which has at least session_header_size(id.length) bytes, and
// returns its size. Only the low two bits of `epoch` and the low 32 of `packet_number` are sent.
std::size_t encode_session_header(MutableBytes out, std::uint32_t epoch, const ConnectionId& id,
                                  std::uint64_t packet_number);

// Nothing when the first byte is not a session packet's or the datagram is too short for at least one byte of
// ciphertext. `id_length` is the length of the ids that the receiver issues.
[[nodiscard]] std::optional<SessionHeader> decode_session_header(Bytes datagram, std::size_t id_length);

// The whole packet number nearest to `expected`, the highest authenticated one plus one (0 before any), of
// those with these low 32 bits (RFC 9000 appendix A.3).
[[nodiscard]] constexpr std::uint64_t expand_packet_number(std::uint64_t expected, std::uint32_t truncated) {
  constexpr std::uint64_t kWindow = std::uint64_t{1} << 32;
  constexpr std::uint64_t kHalfWindow = kWindow / 2;
  const std::uint64_t candidate = (expected & ~(kWindow - 1)) | truncated;
  if (candidate <= expected) {
    if (expected - candidate >= kHalfWindow && candidate <= UINT64_MAX - kWindow) return candidate + kWindow;
  } else if (candidate - expected > kHalfWindow && candidate >= kWindow) {
    return candidate - kWindow;
  }
  return candidate;
}

}  // namespace hawser
