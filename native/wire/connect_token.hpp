// The connect token (docs/protocol.md section 2): made by a backend, carried by a client, opened by a
// gateway.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "crypto/secret.hpp"
#include "wire/address_codec.hpp"

namespace hawser {

inline constexpr std::string_view kProtocolVersion = "HAWSER 1";

inline constexpr std::size_t kTokenClearSize = 64;
inline constexpr std::size_t kTokenAssociatedDataSize = 40;
inline constexpr std::size_t kPrivateTokenSize = 960;
inline constexpr std::size_t kSealedPrivateTokenSize = kPrivateTokenSize + kTagSize;
inline constexpr std::size_t kTokenPublicOffset = kTokenClearSize + kSealedPrivateTokenSize;
inline constexpr std::size_t kTokenAddressesOffset = 1112;
inline constexpr std::size_t kMinTokenSize = kTokenAddressesOffset + kIpv4AddressSize;
inline constexpr std::size_t kMaxTokenSize = kTokenAddressesOffset + kMaxTokenAddresses * kIpv6AddressSize;
inline constexpr std::size_t kPrivateVariableOffset = 96;
// Addresses and user data together.
inline constexpr std::size_t kPrivateVariableSize = kPrivateTokenSize - kPrivateVariableOffset;

inline constexpr std::uint32_t kTokenFlagSingleUse = 1;
inline constexpr std::uint32_t kKnownTokenFlags = kTokenFlagSingleUse;

inline constexpr Duration kMinTokenTimeout = std::chrono::seconds(1);
inline constexpr Duration kMaxTokenTimeout = std::chrono::hours(1);
// The last instant a JavaScript number holds exactly.
inline constexpr WallTime kMaxTokenTime{std::chrono::milliseconds((std::int64_t{1} << 53) - 1)};

enum class TokenError : std::uint8_t {
  kNone,
  kLength,     // too short, or bytes after the last address
  kVersion,    // not "HAWSER 1"
  kFlags,      // a flag without a meaning
  kTimes,      // create after expire, or a time beyond kMaxTokenTime
  kTimeout,    // not 1,000 to 3,600,000 ms
  kAddresses,  // not 1 to 32, or one that is not valid
  kReserved,   // a reserved field or padding is not zero
  kUserData,   // does not fit beside the addresses
  kSealed,     // the private part was not sealed with this key, or was changed
};

// Bytes 0..63, which REQUEST and RESPONSE repeat.
struct TokenClear {
  std::uint64_t protocol_id = 0;
  std::uint32_t key_id = 0;
  std::uint32_t flags = 0;
  WallTime create{};
  WallTime expire{};
  Nonce nonce{};

  [[nodiscard]] bool single_use() const { return (flags & kTokenFlagSingleUse) != 0; }

  friend bool operator==(const TokenClear&, const TokenClear&) = default;
};

// What only the holder of the server key can read and write.
struct PrivateToken {
  std::uint64_t client_id = 0;
  Duration timeout{};  // whole milliseconds
  AddressList addresses;
  Key client_to_server;
  Key server_to_client;
  std::size_t user_data_size = 0;
  std::array<std::byte, kPrivateVariableSize> user_data_storage{};

  [[nodiscard]] Bytes user_data() const { return Bytes(user_data_storage.data(), user_data_size); }
  // False, without a change, when there are more than kPrivateVariableSize bytes.
  [[nodiscard]] bool set_user_data(Bytes data);
};

// The whole token as a client sees it.
struct PublicToken {
  TokenClear clear;
  std::array<std::byte, kSealedPrivateTokenSize> sealed_private{};
  Duration timeout{};  // whole milliseconds
  AddressList addresses;
  Key client_to_server;
  Key server_to_client;
};

// Decodes the 64 clear bytes. The only failure is another version. A time beyond what WallTime can hold is
// read as a far future with room for additions; check_token_clear() refuses it.
[[nodiscard]] Result<TokenClear, TokenError> decode_token_clear(
    std::span<const std::byte, kTokenClearSize> bytes);
void encode_token_clear(std::span<std::byte, kTokenClearSize> out, const TokenClear& clear);

// kFlags, kTimes or kNone: the rules of the clear part that need neither a clock nor a configuration.
[[nodiscard]] TokenError check_token_clear(const TokenClear& clear);

// Decodes and checks a whole token; every rule of section 2 that the public part can break.
[[nodiscard]] Result<PublicToken, TokenError> decode_public_token(Bytes bytes);

// Writes the token to the start of `out` and returns its size: kMinTokenSize to kMaxTokenSize. Fails as
// decoding would, and with kLength when `out` is too small.
[[nodiscard]] Result<std::size_t, TokenError> encode_public_token(MutableBytes out, const PublicToken& token);

// Writes the plaintext of the private part. kTimeout, kAddresses, kUserData or kNone.
[[nodiscard]] TokenError encode_private_token(std::span<std::byte, kPrivateTokenSize> out,
                                              const PrivateToken& token);
// Reads it; kTimeout, kAddresses, kUserData, kReserved or kNone. `out` is unspecified after a failure.
[[nodiscard]] TokenError decode_private_token(std::span<const std::byte, kPrivateTokenSize> plaintext,
                                              PrivateToken& out);

// `associated_data` is bytes 0..39 of the token. As encode_private_token().
[[nodiscard]] TokenError seal_private_token(
    std::span<std::byte, kSealedPrivateTokenSize> out, const PrivateToken& token, const Key& server_key,
    std::span<const std::byte, kTokenAssociatedDataSize> associated_data, NonceView nonce);

// The reverse. kSealed when it does not open with this key; else as decode_private_token(). 976 bytes of
// `sealed`.
[[nodiscard]] TokenError open_private_token(
    std::span<const std::byte, kSealedPrivateTokenSize> sealed, const Key& server_key,
    std::span<const std::byte, kTokenAssociatedDataSize> associated_data, NonceView nonce, PrivateToken& out);

struct TokenParameters {
  std::uint64_t protocol_id = 0;
  std::uint32_t key_id = 0;
  bool single_use = false;
  WallTime create{};
  WallTime expire{};
  std::uint64_t client_id = 0;
  Duration timeout{};  // rounded down to whole milliseconds
  std::span<const SocketAddress> addresses;
  Bytes user_data;
};

// Makes a token; writes it to `out` (kMaxTokenSize bytes always suffice) and returns its size. Draws from
// `random` the nonce (24 bytes), the client-to-server key (32) and the server-to-client key (32), in this
// order.
[[nodiscard]] Result<std::size_t, TokenError> mint_token(MutableBytes out, const TokenParameters& parameters,
                                                         const Key& server_key, RandomSource& random);

}  // namespace hawser
