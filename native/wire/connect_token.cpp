#include "wire/connect_token.hpp"

#include <algorithm>

namespace hawser {

namespace {

static_assert(kTokenPublicOffset == 1040);
static_assert(kTokenPublicOffset + 4 + 2 + 2 + 32 + 32 == kTokenAddressesOffset);
static_assert(kPrivateVariableSize == 864);

constexpr std::size_t kMinAddresses = 1;

// Half of what WallTime holds: any skew can be added to it without overflow.
constexpr std::uint64_t kFarFuture = std::uint64_t{1} << 62;

WallTime wall_time(std::uint64_t unix_milliseconds) {
  const std::uint64_t clamped = std::min(unix_milliseconds, kFarFuture);
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(clamped)));
}

std::uint64_t unix_milliseconds(WallTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

std::uint32_t timeout_milliseconds(Duration timeout) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
}

bool is_token_timeout(Duration timeout) { return timeout >= kMinTokenTimeout && timeout <= kMaxTokenTimeout; }

bool are_token_addresses(const AddressList& list) {
  return list.count >= kMinAddresses && list.count <= kMaxTokenAddresses &&
         std::ranges::all_of(list.view(), is_encodable);
}

// False when the count is out of range or an address is cut short or not valid.
bool read_addresses(ByteReader& reader, std::size_t count, AddressList& out) {
  if (count < kMinAddresses || count > kMaxTokenAddresses) return false;
  out.count = count;
  for (std::size_t i = 0; i < count; ++i) out.addresses[i] = decode_address(reader);
  return reader.ok();
}

void write_addresses(ByteWriter& writer, const AddressList& list) {
  for (const SocketAddress& address : list.view()) encode_address(writer, address);
}

}  // namespace

bool PrivateToken::set_user_data(Bytes data) {
  if (data.size() > user_data_storage.size()) return false;
  std::ranges::copy(data, user_data_storage.begin());
  user_data_size = data.size();
  return true;
}

Result<TokenClear, TokenError> decode_token_clear(std::span<const std::byte, kTokenClearSize> bytes) {
  ByteReader reader(bytes);
  if (!std::ranges::equal(reader.bytes(kProtocolVersion.size()), bytes_of(kProtocolVersion))) {
    return Failure{TokenError::kVersion};
  }
  TokenClear clear;
  clear.protocol_id = reader.u64();
  clear.key_id = reader.u32();
  clear.flags = reader.u32();
  clear.create = wall_time(reader.u64());
  clear.expire = wall_time(reader.u64());
  clear.nonce = reader.array<kNonceSize>();
  return clear;
}

void encode_token_clear(std::span<std::byte, kTokenClearSize> out, const TokenClear& clear) {
  ByteWriter writer(out);
  writer.bytes(bytes_of(kProtocolVersion));
  writer.u64(clear.protocol_id);
  writer.u32(clear.key_id);
  writer.u32(clear.flags);
  writer.u64(unix_milliseconds(clear.create));
  writer.u64(unix_milliseconds(clear.expire));
  writer.bytes(clear.nonce);
}

TokenError check_token_clear(const TokenClear& clear) {
  if ((clear.flags & ~kKnownTokenFlags) != 0) return TokenError::kFlags;
  if (clear.create.time_since_epoch().count() < 0 || clear.create > clear.expire ||
      clear.expire > kMaxTokenTime) {
    return TokenError::kTimes;
  }
  return TokenError::kNone;
}

Result<PublicToken, TokenError> decode_public_token(Bytes bytes) {
  if (bytes.size() < kMinTokenSize || bytes.size() > kMaxTokenSize) return Failure{TokenError::kLength};
  const auto clear = decode_token_clear(bytes.first<kTokenClearSize>());
  if (!clear) return Failure{clear.error()};
  if (const TokenError error = check_token_clear(*clear); error != TokenError::kNone) return Failure{error};

  ByteReader reader(bytes.subspan(kTokenClearSize));
  PublicToken token;
  token.clear = *clear;
  token.sealed_private = reader.array<kSealedPrivateTokenSize>();
  token.timeout = std::chrono::milliseconds(reader.u32());
  if (!is_token_timeout(token.timeout)) return Failure{TokenError::kTimeout};
  const std::size_t count = reader.u16();
  if (reader.u16() != 0) return Failure{TokenError::kReserved};
  std::ranges::copy(reader.bytes(32), token.client_to_server.mutable_bytes().begin());
  std::ranges::copy(reader.bytes(32), token.server_to_client.mutable_bytes().begin());
  if (!read_addresses(reader, count, token.addresses)) return Failure{TokenError::kAddresses};
  if (!reader.finished()) return Failure{TokenError::kLength};
  return token;
}

Result<std::size_t, TokenError> encode_public_token(MutableBytes out, const PublicToken& token) {
  if (const TokenError error = check_token_clear(token.clear); error != TokenError::kNone)
    return Failure{error};
  if (!is_token_timeout(token.timeout)) return Failure{TokenError::kTimeout};
  if (!are_token_addresses(token.addresses)) return Failure{TokenError::kAddresses};
  if (out.size() < kMinTokenSize) return Failure{TokenError::kLength};

  encode_token_clear(out.first<kTokenClearSize>(), token.clear);
  ByteWriter writer(out.subspan(kTokenClearSize));
  writer.bytes(token.sealed_private);
  writer.u32(timeout_milliseconds(token.timeout));
  writer.u16(static_cast<std::uint16_t>(token.addresses.count));
  writer.u16(0);
  writer.bytes(token.client_to_server.bytes());
  writer.bytes(token.server_to_client.bytes());
  write_addresses(writer, token.addresses);
  if (!writer.ok()) return Failure{TokenError::kLength};
  return kTokenClearSize + writer.position();
}

TokenError encode_private_token(std::span<std::byte, kPrivateTokenSize> out, const PrivateToken& token) {
  if (!is_token_timeout(token.timeout)) return TokenError::kTimeout;
  if (!are_token_addresses(token.addresses)) return TokenError::kAddresses;
  if (token.user_data_size > kPrivateVariableSize) return TokenError::kUserData;

  ByteWriter writer(out);
  writer.u64(token.client_id);
  writer.u32(timeout_milliseconds(token.timeout));
  writer.u16(static_cast<std::uint16_t>(token.addresses.count));
  writer.u16(static_cast<std::uint16_t>(token.user_data_size));
  writer.bytes(token.client_to_server.bytes());
  writer.bytes(token.server_to_client.bytes());
  writer.zeros(16);
  write_addresses(writer, token.addresses);
  writer.bytes(token.user_data());
  if (!writer.ok()) return TokenError::kUserData;
  writer.zeros(writer.remaining());
  return TokenError::kNone;
}

TokenError decode_private_token(std::span<const std::byte, kPrivateTokenSize> plaintext, PrivateToken& out) {
  ByteReader reader(plaintext);
  out.client_id = reader.u64();
  out.timeout = std::chrono::milliseconds(reader.u32());
  if (!is_token_timeout(out.timeout)) return TokenError::kTimeout;
  const std::size_t count = reader.u16();
  const std::size_t user_data_size = reader.u16();
  std::ranges::copy(reader.bytes(32), out.client_to_server.mutable_bytes().begin());
  std::ranges::copy(reader.bytes(32), out.server_to_client.mutable_bytes().begin());
  if (!all_zero(reader.bytes(16))) return TokenError::kReserved;
  if (!read_addresses(reader, count, out.addresses)) return TokenError::kAddresses;
  const Bytes user_data = reader.bytes(user_data_size);
  if (!reader.ok() || !out.set_user_data(user_data)) return TokenError::kUserData;
  if (!all_zero(reader.rest())) return TokenError::kReserved;
  return TokenError::kNone;
}

TokenError seal_private_token(std::span<std::byte, kSealedPrivateTokenSize> out, const PrivateToken& token,
                              const Key& server_key,
                              std::span<const std::byte, kTokenAssociatedDataSize> associated_data,
                              NonceView nonce) {
  Secret<kPrivateTokenSize> plaintext;
  const TokenError error = encode_private_token(plaintext.mutable_bytes(), token);
  if (error == TokenError::kNone) seal(out, server_key, nonce, associated_data, plaintext.bytes());
  return error;
}

TokenError open_private_token(std::span<const std::byte, kSealedPrivateTokenSize> sealed,
                              const Key& server_key,
                              std::span<const std::byte, kTokenAssociatedDataSize> associated_data,
                              NonceView nonce, PrivateToken& out) {
  Secret<kPrivateTokenSize> plaintext;
  if (!open(plaintext.mutable_bytes(), server_key, nonce, associated_data, sealed))
    return TokenError::kSealed;
  return decode_private_token(plaintext.bytes(), out);
}

Result<std::size_t, TokenError> mint_token(MutableBytes out, const TokenParameters& parameters,
                                           const Key& server_key, RandomSource& random) {
  PublicToken token;
  token.clear.protocol_id = parameters.protocol_id;
  token.clear.key_id = parameters.key_id;
  token.clear.flags = parameters.single_use ? kTokenFlagSingleUse : 0;
  token.clear.create = parameters.create;
  token.clear.expire = parameters.expire;
  if (const TokenError error = check_token_clear(token.clear); error != TokenError::kNone)
    return Failure{error};
  token.timeout = parameters.timeout;
  for (const SocketAddress& address : parameters.addresses) {
    if (!token.addresses.add(address)) return Failure{TokenError::kAddresses};
  }
  random.fill(token.clear.nonce);
  random.fill(token.client_to_server.mutable_bytes());
  random.fill(token.server_to_client.mutable_bytes());

  PrivateToken secret;
  secret.client_id = parameters.client_id;
  secret.timeout = token.timeout;
  secret.addresses = token.addresses;
  secret.client_to_server = Key(token.client_to_server.bytes());
  secret.server_to_client = Key(token.server_to_client.bytes());
  if (!secret.set_user_data(parameters.user_data)) return Failure{TokenError::kUserData};

  std::array<std::byte, kTokenClearSize> clear{};
  encode_token_clear(clear, token.clear);
  const TokenError error =
      seal_private_token(token.sealed_private, secret, server_key,
                         std::span(clear).first<kTokenAssociatedDataSize>(), token.clear.nonce);
  if (error != TokenError::kNone) return Failure{error};
  return encode_public_token(out, token);
}

}  // namespace hawser
