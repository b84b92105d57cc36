// Connect tokens and challenge tokens of netcode 1.02 (its standard, sections "Connect Token" and "Challenge
// Token"). Everything is little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "crypto/aead.hpp"
#include "crypto/secret.hpp"
#include "wire/address_codec.hpp"

namespace hawser::netcode {

// "NETCODE 1.02" and a NUL.
inline constexpr std::size_t kVersionSize = 13;
extern const std::array<std::byte, kVersionSize> kVersionInfo;

inline constexpr std::size_t kTokenSize = 2048;
inline constexpr std::size_t kSealedPrivateTokenSize = 1024;
inline constexpr std::size_t kPrivateTokenSize = kSealedPrivateTokenSize - kTagSize;
inline constexpr std::size_t kUserDataSize = 256;
inline constexpr std::size_t kChallengeTokenSize = 300;

using SealedPrivateToken = std::array<std::byte, kSealedPrivateTokenSize>;
using SealedPrivateTokenView = std::span<const std::byte, kSealedPrivateTokenSize>;
using UserData = std::array<std::byte, kUserDataSize>;
using SealedChallengeToken = std::array<std::byte, kChallengeTokenSize>;
using SealedChallengeTokenView = std::span<const std::byte, kChallengeTokenSize>;

enum class TokenError : std::uint8_t {
  kNone = 0,
  kLength,     // not 2,048 bytes
  kVersion,    // not "NETCODE 1.02"
  kTimes,      // created after it expires
  kAddresses,  // not 1 to 32, or one of another type than 1 and 2
  kSealed,     // the private part was not sealed with this key, or was changed
};

// What only the holder of the private key can read and write.
struct PrivateToken {
  std::uint64_t client_id = 0;
  std::int32_t timeout_seconds = 0;  // 0 and less: none
  AddressList addresses;
  Key client_to_server;
  Key server_to_client;
  UserData user_data{};
};

// The whole token as a client sees it. Times are Unix seconds.
struct PublicToken {
  std::uint64_t protocol_id = 0;
  std::uint64_t create = 0;
  std::uint64_t expire = 0;
  Nonce nonce{};
  SealedPrivateToken sealed_private{};
  std::int32_t timeout_seconds = 0;  // 0 and less: none
  AddressList addresses;
  Key client_to_server;
  Key server_to_client;
};

// Whether the bytes begin as a netcode token does, whatever follows.
[[nodiscard]] bool is_token(Bytes bytes);

// Decodes and checks a token: kLength, kVersion, kTimes, kAddresses. What follows the last field is padding
// and not looked at. An address is taken as it stands, with any port; a scope id it cannot have.
[[nodiscard]] Result<PublicToken, TokenError> decode_public_token(Bytes bytes);
// kTimes, kAddresses or kNone; the padding is zeros.
[[nodiscard]] TokenError encode_public_token(std::span<std::byte, kTokenSize> out, const PublicToken& token);

// Writes the plaintext of the private part, its padding zeros. kAddresses or kNone.
[[nodiscard]] TokenError encode_private_token(std::span<std::byte, kPrivateTokenSize> out,
                                              const PrivateToken& token);
// Reads it; kAddresses or kNone. Padding is not looked at. `out` is unspecified after a failure.
[[nodiscard]] TokenError decode_private_token(std::span<const std::byte, kPrivateTokenSize> plaintext,
                                              PrivateToken& out);

// XChaCha20-Poly1305 with version, protocol id and expire time as the associated data. As
// encode_private_token().
[[nodiscard]] TokenError seal_private_token(std::span<std::byte, kSealedPrivateTokenSize> out,
                                            const PrivateToken& token, const Key& private_key,
                                            std::uint64_t protocol_id, std::uint64_t expire, NonceView nonce);
// The reverse. kSealed when it does not open with this key; else as decode_private_token().
[[nodiscard]] TokenError open_private_token(SealedPrivateTokenView sealed, const Key& private_key,
                                            std::uint64_t protocol_id, std::uint64_t expire, NonceView nonce,
                                            PrivateToken& out);

struct TokenParameters {
  std::uint64_t protocol_id = 0;
  std::uint64_t create = 0;
  std::uint64_t expire = 0;
  std::uint64_t client_id = 0;
  std::int32_t timeout_seconds = 0;
  std::span<const SocketAddress> addresses;
  Bytes user_data;  // at most kUserDataSize bytes, filled up with zeros
};

// Makes a token. Draws from `random` the nonce (24 bytes), the client-to-server key (32) and the
// server-to-client key (32), in this order. kTimes, kAddresses or kNone.
[[nodiscard]] TokenError mint_token(std::span<std::byte, kTokenSize> out, const TokenParameters& parameters,
                                    const Key& private_key, RandomSource& random);

// What a server reminds itself of, carried by the client.
struct ChallengeToken {
  std::uint64_t client_id = 0;
  UserData user_data{};
};

// ChaCha20-Poly1305 without associated data; the nonce is the sequence number, which must never be used twice
// with one key.
void seal_challenge_token(std::span<std::byte, kChallengeTokenSize> out, const ChallengeToken& token,
                          const PacketKey& challenge_key, std::uint64_t sequence);
// False when it was not made with this key and sequence number. `out` is unspecified then.
[[nodiscard]] bool open_challenge_token(SealedChallengeTokenView sealed, const PacketKey& challenge_key,
                                        std::uint64_t sequence, ChallengeToken& out);

}  // namespace hawser::netcode
