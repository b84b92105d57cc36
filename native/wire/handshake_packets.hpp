// The datagrams outside a session: REQUEST, CHALLENGE, RESPONSE, ACCEPT, DENIED and RESET (docs/protocol.md
// section 3).
//
// Encoders write into spans of the exact size and take their nonce as an argument; views point into the
// datagram they were parsed from and live as long as it does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/secret.hpp"
#include "wire/connect_token.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

enum class DatagramKind : std::uint8_t {
  kRequest,
  kChallenge,
  kResponse,
  kAccept,
  kDenied,
  kReset,
  kSession,
  kUnknown,
};

inline constexpr std::uint8_t kRequestByte = 0xA0;
inline constexpr std::uint8_t kChallengeByte = 0xA1;
inline constexpr std::uint8_t kResponseByte = 0xA2;
inline constexpr std::uint8_t kAcceptByte = 0xA3;
inline constexpr std::uint8_t kDeniedByte = 0xA4;
inline constexpr std::uint8_t kResetByte = 0xA5;
// Session packets are 1011ee00, whatever the epoch: kSessionByte under this mask.
inline constexpr std::uint8_t kSessionByte = 0xB0;
inline constexpr std::uint8_t kSessionMask = 0xF3;

// What a datagram claims to be by its first byte.
[[nodiscard]] constexpr DatagramKind classify(std::uint8_t first_byte) {
  // Session packets first: they are nearly all of the traffic.
  if ((first_byte & kSessionMask) == kSessionByte) return DatagramKind::kSession;
  switch (first_byte) {
    case kRequestByte:
      return DatagramKind::kRequest;
    case kChallengeByte:
      return DatagramKind::kChallenge;
    case kResponseByte:
      return DatagramKind::kResponse;
    case kAcceptByte:
      return DatagramKind::kAccept;
    case kDeniedByte:
      return DatagramKind::kDenied;
    case kResetByte:
      return DatagramKind::kReset;
    default:
      return DatagramKind::kUnknown;
  }
}

inline constexpr std::size_t kCookieSize = 21;
inline constexpr std::size_t kChallengePlaintextSize = kCookieSize + kShareSize;
inline constexpr std::size_t kResponsePlaintextSize = 64;
inline constexpr std::size_t kAcceptPlaintextSize = 96;
inline constexpr std::size_t kDeniedPlaintextSize = 4;

inline constexpr std::size_t kRequestSize = 1200;
inline constexpr std::size_t kChallengeSize = 1 + kNonceSize + kChallengePlaintextSize + kTagSize;
// What RESPONSE repeats of REQUEST: bytes 1..1072.
inline constexpr std::size_t kRepeatedRequestSize = kTokenClearSize + kSealedPrivateTokenSize + kShareSize;
inline constexpr std::size_t kResponseSize =
    1 + kRepeatedRequestSize + kCookieSize + kNonceSize + kResponsePlaintextSize + kTagSize;
inline constexpr std::size_t kAcceptSize = 1 + kNonceSize + kAcceptPlaintextSize + kTagSize;
inline constexpr std::size_t kDeniedSize = 1 + kNonceSize + kDeniedPlaintextSize + kTagSize;
inline constexpr std::size_t kResetOverhead = 1 + 16;
inline constexpr std::size_t kMinResetSize = kResetOverhead + ConnectionId::kMin;
inline constexpr std::size_t kMaxResetSize = kResetOverhead + ConnectionId::kMax;

// Bits of the features in RESPONSE and ACCEPT (docs/protocol.md section 3).
inline constexpr std::uint32_t kFeatureChannels = 1;
inline constexpr std::uint32_t kFeatureKeyUpdate = 2;
inline constexpr std::uint32_t kFeatureRoaming = 4;
inline constexpr std::uint32_t kFeaturePathMtu = 8;

// The longest datagram that a side takes is between what every path carries and what UDP over IPv4 can.
inline constexpr std::uint16_t kLeastMaxDatagram = 1200;
inline constexpr std::uint16_t kGreatestMaxDatagram = 65507;

using RequestDatagram = std::array<std::byte, kRequestSize>;
using ChallengeDatagram = std::array<std::byte, kChallengeSize>;
using ResponseDatagram = std::array<std::byte, kResponseSize>;
using AcceptDatagram = std::array<std::byte, kAcceptSize>;
using DeniedDatagram = std::array<std::byte, kDeniedSize>;
using CookieView = std::span<const std::byte, kCookieSize>;
using ChallengePlaintext = std::array<std::byte, kChallengePlaintextSize>;

// Why a REQUEST or RESPONSE was not even read.
enum class HandshakeError : std::uint8_t {
  kLength,   // not the exact size of its kind
  kKind,     // another first byte
  kVersion,  // not "HAWSER 1"
};

// DENIED's reasons. An unknown one is reported by its number, so the field itself stays a u32.
enum class DeniedReason : std::uint32_t {
  kServerFull = 1,
  kTokenUsed = 2,
  kClientIdConnected = 3,
  kShuttingDown = 4,
  kHistoryUnavailable = 5,
  kChannelsMismatch = 6,
  kTokenExpired = 7,
  kTokenFuture = 8,
  kTokenLifetime = 9,
  kProtocolMismatch = 10,
  kWrongAddress = 11,
  kSingleUseRefused = 12,
};

// A gateway's reminder to itself, carried by the client, to whom it is 21 opaque bytes.
struct Cookie {
  std::uint32_t time = 0;  // milliseconds of the gateway's monotonic clock, modulo 2^32
  std::uint8_t index = 0;  // number of the record, modulo 256
  CookieMac mac{};
  std::array<std::byte, kCookieSize> raw{};  // the three as they stand on the wire

  [[nodiscard]] static Cookie make(std::uint32_t time, std::uint8_t index, const CookieMac& mac);
  [[nodiscard]] static Cookie decode(CookieView raw);
};

// ---- REQUEST

// What REQUEST and RESPONSE have in common. Nothing in it is authenticated until the private part has been
// opened; the client share is not authenticated by REQUEST at all.
struct TokenCarrierView {
  TokenClear clear;
  std::span<const std::byte, kTokenAssociatedDataSize> token_associated_data;
  std::span<const std::byte, kSealedPrivateTokenSize> sealed_private;
  ShareView client_share;
};

using RequestView = TokenCarrierView;

// The clear part of `token` and the share, padded with zeros to 1,200 bytes.
void encode_request(std::span<std::byte, kRequestSize> out, const PublicToken& token, ShareView client_share);
// Length, kind and version only: flags, times, protocol id and key id are the caller's to check, in the order
// of section 7.
[[nodiscard]] Result<RequestView, HandshakeError> parse_request(Bytes datagram);

// ---- CHALLENGE

struct ChallengeBody {
  ChallengePlaintext plaintext{};  // as the transcript takes it

  [[nodiscard]] CookieView cookie() const { return std::span(plaintext).first<kCookieSize>(); }
  [[nodiscard]] ShareView server_share() const { return std::span(plaintext).last<kShareSize>(); }
};

// cookie[21] || server share[32].
[[nodiscard]] ChallengePlaintext challenge_plaintext(CookieView cookie, ShareView server_share);

void encode_challenge(std::span<std::byte, kChallengeSize> out, const Key& challenge_key, NonceView nonce,
                      const TokenId& token, ShareView client_share, CookieView cookie,
                      ShareView server_share);
// False when it is not a CHALLENGE for this token and client share.
[[nodiscard]] bool open_challenge(Bytes datagram, const Key& challenge_key, const TokenId& token,
                                  ShareView client_share, ChallengeBody& out);

// ---- RESPONSE

struct ResponseView : TokenCarrierView {
  Cookie cookie;
  std::span<const std::byte, kResponseSize> datagram;
};

struct ResponseBody {
  std::uint32_t features = 0;                      // what the client offers
  ConnectionId connection_id;                      // the client's, to be put into packets to it
  std::uint16_t max_datagram = kLeastMaxDatagram;  // the longest that it takes, to kGreatestMaxDatagram
  std::uint32_t credit = 0;                        // first limit of the connection (section 12)
  std::uint32_t channel_credit = 0;                // first limit of each channel
  Hash128 channels{};                              // channels_digest() of its declaration

  friend bool operator==(const ResponseBody&, const ResponseBody&) = default;
};

// `request` is the attempt's REQUEST. `body.connection_id` has 4 to 16 bytes, `body.max_datagram` is in
// range.
void encode_response(std::span<std::byte, kResponseSize> out,
                     std::span<const std::byte, kRequestSize> request, CookieView cookie,
                     const Key& response_key, NonceView nonce, const ResponseBody& body);
// As parse_request().
[[nodiscard]] Result<ResponseView, HandshakeError> parse_response(Bytes datagram);
// False when it was not sealed with this key over these bytes, its connection id is not 4 to 16 bytes padded
// with zeros, or its longest datagram is out of range. `out` is unspecified then.
[[nodiscard]] bool open_response(const ResponseView& view, const Key& response_key, ResponseBody& out);

// ---- ACCEPT

struct AcceptBody {
  std::uint32_t features = 0;  // what both will use; the client checks that it is a subset of its offer
  ConnectionId connection_id;  // the server's
  std::array<std::byte, 32> random{};
  ResetToken reset_token{};                        // of `connection_id`
  std::uint16_t max_datagram = kLeastMaxDatagram;  // these three as in ResponseBody, of the server
  std::uint32_t credit = 0;
  std::uint32_t channel_credit = 0;

  friend bool operator==(const AcceptBody&, const AcceptBody&) = default;
};

// `response` is response_hash() of the RESPONSE that it answers. `body.connection_id` has 4 to 16 bytes,
// `body.max_datagram` is in range.
void encode_accept(std::span<std::byte, kAcceptSize> out, const Key& accept_key, NonceView nonce,
                   const Hash256& response, const AcceptBody& body);
// False when it is not an ACCEPT of that RESPONSE, its connection id is not 4 to 16 bytes padded with zeros,
// or its longest datagram is out of range. `out` is unspecified then.
[[nodiscard]] bool open_accept(Bytes datagram, const Key& accept_key, const Hash256& response,
                               AcceptBody& out);

// ---- DENIED

void encode_denied(std::span<std::byte, kDeniedSize> out, const Key& denied_key, NonceView nonce,
                   const TokenId& token, ShareView client_share, DeniedReason reason);
// The reason, known or not; nothing when it is not a DENIED for this token and client share.
[[nodiscard]] std::optional<std::uint32_t> open_denied(Bytes datagram, const Key& denied_key,
                                                       const TokenId& token, ShareView client_share);

// ---- RESET

struct ResetView {
  ConnectionId connection_id;
  ResetTokenView token;  // compare with constant_time_equal()
};

// Writes 17 + id bytes to the start of `out` (kMaxResetSize always suffice) and returns how many.
std::size_t encode_reset(MutableBytes out, const ConnectionId& connection_id, ResetTokenView token);
// Nothing when it is not a RESET of 21 to 33 bytes.
[[nodiscard]] std::optional<ResetView> parse_reset(Bytes datagram);

}  // namespace hawser
