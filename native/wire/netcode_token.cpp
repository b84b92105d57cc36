#include "wire/netcode_token.hpp"

#include <algorithm>
#include <cassert>
#include <string_view>
#include <utility>

namespace hawser::netcode {

namespace {

constexpr std::size_t kMinAddresses = 1;
constexpr std::size_t kIpv6Groups = 8;
constexpr std::size_t kKeySize = 32;
constexpr std::size_t kLongestAddresses = 4 + kMaxTokenAddresses * kIpv6AddressSize;

// Whatever the addresses are, a token has room for them. So its size is checked once, and its fields are not.
static_assert(8 + 4 + kLongestAddresses + 2 * kKeySize + kUserDataSize <= kPrivateTokenSize);
static_assert(kVersionSize + 8 + 8 + 8 + kNonceSize + kSealedPrivateTokenSize + 4 + kLongestAddresses +
                  2 * kKeySize <=
              kTokenSize);

constexpr std::size_t kChallengePlaintextSize = kChallengeTokenSize - kTagSize;
static_assert(8 + kUserDataSize <= kChallengePlaintextSize);

constexpr std::array<std::byte, kVersionSize> version_bytes() {
  constexpr std::string_view kText("NETCODE 1.02\0", kVersionSize);
  std::array<std::byte, kVersionSize> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(kText[i]);
  return bytes;
}

// The standard writes an IPv6 address as eight numbers, each with its low byte first; in network order the
// high byte of each comes first.
void swap_groups(MutableBytes ip) {
  for (std::size_t i = 0; i < kIpv6Groups; ++i) std::swap(ip[2 * i], ip[2 * i + 1]);
}

bool has_type(const SocketAddress& address) {
  return address.family == SocketAddress::Family::kIpv4 || address.family == SocketAddress::Family::kIpv6;
}

void write_address(ByteWriter& writer, const SocketAddress& address) {
  writer.u8(static_cast<std::uint8_t>(address.family));
  if (address.family == SocketAddress::Family::kIpv4) {
    writer.bytes(Bytes(address.ip).first(4));
  } else {
    auto groups = address.ip;
    swap_groups(groups);
    writer.bytes(groups);
  }
  writer.u16(address.port);
}

SocketAddress read_address(ByteReader& reader) {
  SocketAddress address;
  address.family = static_cast<SocketAddress::Family>(reader.u8());
  switch (address.family) {
    case SocketAddress::Family::kIpv4:
      std::ranges::copy(reader.bytes(4), address.ip.begin());
      break;
    case SocketAddress::Family::kIpv6:
      std::ranges::copy(reader.bytes(16), address.ip.begin());
      swap_groups(address.ip);
      break;
    default:
      reader.fail();
      return {};
  }
  address.port = reader.u16();
  return address;
}

bool are_token_addresses(const AddressList& list) {
  return list.count >= kMinAddresses && list.count <= kMaxTokenAddresses &&
         std::ranges::all_of(list.view(), has_type);
}

// What the public and the private part both have: u32 timeout, u32 count and the addresses, the two keys.
void write_session(ByteWriter& writer, std::int32_t timeout_seconds, const AddressList& addresses,
                   const Key& client_to_server, const Key& server_to_client) {
  writer.u32(static_cast<std::uint32_t>(timeout_seconds));
  writer.u32(static_cast<std::uint32_t>(addresses.count));
  for (const SocketAddress& address : addresses.view()) write_address(writer, address);
  writer.bytes(client_to_server.bytes());
  writer.bytes(server_to_client.bytes());
}

// False when the number or a type of the addresses is not allowed.
bool read_session(ByteReader& reader, std::int32_t& timeout_seconds, AddressList& addresses,
                  Key& client_to_server, Key& server_to_client) {
  timeout_seconds = static_cast<std::int32_t>(reader.u32());
  const std::uint32_t count = reader.u32();
  if (count < kMinAddresses || count > kMaxTokenAddresses) return false;
  addresses.count = count;
  for (std::size_t i = 0; i < count; ++i) addresses.addresses[i] = read_address(reader);
  std::ranges::copy(reader.bytes(kKeySize), client_to_server.mutable_bytes().begin());
  std::ranges::copy(reader.bytes(kKeySize), server_to_client.mutable_bytes().begin());
  return reader.ok();
}

constexpr std::size_t kAssociatedDataSize = kVersionSize + 8 + 8;

std::array<std::byte, kAssociatedDataSize> associated_data(std::uint64_t protocol_id, std::uint64_t expire) {
  std::array<std::byte, kAssociatedDataSize> bytes{};
  ByteWriter writer(bytes);
  writer.bytes(kVersionInfo);
  writer.u64(protocol_id);
  writer.u64(expire);
  return bytes;
}

}  // namespace

constexpr std::array<std::byte, kVersionSize> kVersionInfo = version_bytes();

bool is_token(Bytes bytes) {
  return bytes.size() >= kVersionSize && std::ranges::equal(bytes.first<kVersionSize>(), kVersionInfo);
}

Result<PublicToken, TokenError> decode_public_token(Bytes bytes) {
  if (bytes.size() != kTokenSize) return Failure{TokenError::kLength};
  if (!is_token(bytes)) return Failure{TokenError::kVersion};
  ByteReader reader(bytes.subspan(kVersionSize));
  PublicToken token;
  token.protocol_id = reader.u64();
  token.create = reader.u64();
  token.expire = reader.u64();
  if (token.create > token.expire) return Failure{TokenError::kTimes};
  token.nonce = reader.array<kNonceSize>();
  token.sealed_private = reader.array<kSealedPrivateTokenSize>();
  if (!read_session(reader, token.timeout_seconds, token.addresses, token.client_to_server,
                    token.server_to_client)) {
    return Failure{TokenError::kAddresses};
  }
  return token;
}

TokenError encode_public_token(std::span<std::byte, kTokenSize> out, const PublicToken& token) {
  if (token.create > token.expire) return TokenError::kTimes;
  if (!are_token_addresses(token.addresses)) return TokenError::kAddresses;
  ByteWriter writer(out);
  writer.bytes(kVersionInfo);
  writer.u64(token.protocol_id);
  writer.u64(token.create);
  writer.u64(token.expire);
  writer.bytes(token.nonce);
  writer.bytes(token.sealed_private);
  write_session(writer, token.timeout_seconds, token.addresses, token.client_to_server,
                token.server_to_client);
  writer.zeros(writer.remaining());
  assert(writer.ok());
  return TokenError::kNone;
}

TokenError encode_private_token(std::span<std::byte, kPrivateTokenSize> out, const PrivateToken& token) {
  if (!are_token_addresses(token.addresses)) return TokenError::kAddresses;
  ByteWriter writer(out);
  writer.u64(token.client_id);
  write_session(writer, token.timeout_seconds, token.addresses, token.client_to_server,
                token.server_to_client);
  writer.bytes(token.user_data);
  writer.zeros(writer.remaining());
  assert(writer.ok());
  return TokenError::kNone;
}

TokenError decode_private_token(std::span<const std::byte, kPrivateTokenSize> plaintext, PrivateToken& out) {
  ByteReader reader(plaintext);
  out.client_id = reader.u64();
  if (!read_session(reader, out.timeout_seconds, out.addresses, out.client_to_server, out.server_to_client))
    return TokenError::kAddresses;
  out.user_data = reader.array<kUserDataSize>();
  assert(reader.ok());
  return TokenError::kNone;
}

TokenError seal_private_token(std::span<std::byte, kSealedPrivateTokenSize> out, const PrivateToken& token,
                              const Key& private_key, std::uint64_t protocol_id, std::uint64_t expire,
                              NonceView nonce) {
  Secret<kPrivateTokenSize> plaintext;
  const TokenError error = encode_private_token(plaintext.mutable_bytes(), token);
  if (error == TokenError::kNone)
    seal(out, private_key, nonce, associated_data(protocol_id, expire), plaintext.bytes());
  return error;
}

TokenError open_private_token(SealedPrivateTokenView sealed, const Key& private_key,
                              std::uint64_t protocol_id, std::uint64_t expire, NonceView nonce,
                              PrivateToken& out) {
  Secret<kPrivateTokenSize> plaintext;
  if (!open(plaintext.mutable_bytes(), private_key, nonce, associated_data(protocol_id, expire), sealed))
    return TokenError::kSealed;
  return decode_private_token(plaintext.bytes(), out);
}

TokenError mint_token(std::span<std::byte, kTokenSize> out, const TokenParameters& parameters,
                      const Key& private_key, RandomSource& random) {
  assert(parameters.user_data.size() <= kUserDataSize);
  PublicToken token;
  token.protocol_id = parameters.protocol_id;
  token.create = parameters.create;
  token.expire = parameters.expire;
  if (token.create > token.expire) return TokenError::kTimes;
  token.timeout_seconds = parameters.timeout_seconds;
  for (const SocketAddress& address : parameters.addresses) {
    if (!token.addresses.add(address)) return TokenError::kAddresses;
  }
  random.fill(token.nonce);
  random.fill(token.client_to_server.mutable_bytes());
  random.fill(token.server_to_client.mutable_bytes());

  PrivateToken secret;
  secret.client_id = parameters.client_id;
  secret.timeout_seconds = token.timeout_seconds;
  secret.addresses = token.addresses;
  secret.client_to_server = Key(token.client_to_server.bytes());
  secret.server_to_client = Key(token.server_to_client.bytes());
  std::copy_n(parameters.user_data.begin(), std::min(parameters.user_data.size(), kUserDataSize),
              secret.user_data.begin());
  const TokenError error = seal_private_token(token.sealed_private, secret, private_key, token.protocol_id,
                                              token.expire, token.nonce);
  return error == TokenError::kNone ? encode_public_token(out, token) : error;
}

void seal_challenge_token(std::span<std::byte, kChallengeTokenSize> out, const ChallengeToken& token,
                          const PacketKey& challenge_key, std::uint64_t sequence) {
  ByteWriter writer(out.first<kChallengePlaintextSize>());
  writer.u64(token.client_id);
  writer.bytes(token.user_data);
  writer.zeros(writer.remaining());
  assert(writer.ok());
  challenge_key.seal_in_place(sequence, {}, out);
}

bool open_challenge_token(SealedChallengeTokenView sealed, const PacketKey& challenge_key,
                          std::uint64_t sequence, ChallengeToken& out) {
  Secret<kChallengeTokenSize> plaintext(sealed);
  if (!challenge_key.open_in_place(sequence, {}, plaintext.mutable_bytes())) return false;
  ByteReader reader(plaintext.bytes());
  out.client_id = reader.u64();
  out.user_data = reader.array<kUserDataSize>();
  return true;
}

}  // namespace hawser::netcode
