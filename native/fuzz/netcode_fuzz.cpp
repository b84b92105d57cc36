// Tokens and packets of netcode. The input is taken for each of them in turn, as a stranger's bytes and as
// what stands behind the seal of somebody who has the key: whatever is accepted obeys the rules and is
// encoded to the same bytes again.
#include <algorithm>
#include <array>
#include <vector>

#include "crypto/aead.hpp"
#include "fuzz/fuzz_support.hpp"
#include "wire/netcode_packets.hpp"
#include "wire/netcode_token.hpp"

namespace {

using namespace hawser;           // NOLINT(google-build-using-namespace): a fuzz target
using namespace hawser::netcode;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;

constexpr PacketTypes kAllTypes = 0xff;
constexpr std::size_t kKeysSize = 64;

// The input, cut or padded with zeros.
template <std::size_t N>
std::array<std::byte, N> sized(Bytes input) {
  std::array<std::byte, N> result{};
  std::copy_n(input.begin(), std::min(input.size(), N), result.begin());
  return result;
}

// Bytes of the count, the addresses and the keys on the wire.
std::size_t check_addresses(const AddressList& list) {
  require(list.count >= 1 && list.count <= kMaxTokenAddresses);
  std::size_t size = 4 + kKeysSize;
  for (const SocketAddress& address : list.view()) {
    const bool is_ipv4 = address.family == SocketAddress::Family::kIpv4;
    require((is_ipv4 || address.family == SocketAddress::Family::kIpv6) && address.scope_id == 0);
    size += is_ipv4 ? kIpv4AddressSize : kIpv6AddressSize;
  }
  return size;
}

// What encoding gives is the input as far as it has fields; padding is zeros.
void check_again(Bytes again, Bytes input, std::size_t fields) {
  require(fuzz::same(again.first(fields), input.first(fields)) && all_zero(again.subspan(fields)));
}

void check_public(Bytes input) {
  const auto token = decode_public_token(input);
  if (!token) {
    require(token.error() != TokenError::kLength || input.size() != kTokenSize);
    return;
  }
  require(is_token(input) && token->create <= token->expire);
  std::array<std::byte, kTokenSize> again{};
  require(encode_public_token(again, *token) == TokenError::kNone);
  constexpr std::size_t kBeforeAddresses = kVersionSize + 24 + kNonceSize + kSealedPrivateTokenSize + 4;
  check_again(again, input, kBeforeAddresses + check_addresses(token->addresses));

  std::array<std::byte, kRequestSize> request{};
  encode_request(request, *token);
  require(parse_request(request).has_value());
}

void check_private(Bytes input) {
  const auto plaintext = sized<kPrivateTokenSize>(input);
  const Key key;
  const Nonce nonce{};
  std::array<std::byte, kVersionSize + 16> associated_data{};
  std::ranges::copy(kVersionInfo, associated_data.begin());
  SealedPrivateToken sealed{};
  seal(sealed, key, nonce, associated_data, plaintext);

  PrivateToken token;
  const TokenError error = open_private_token(sealed, key, 0, 0, nonce, token);
  if (error != TokenError::kNone) {
    require(error == TokenError::kAddresses);
    return;
  }
  const std::size_t fields = 8 + 4 + check_addresses(token.addresses) + kUserDataSize;
  std::array<std::byte, kPrivateTokenSize> again{};
  require(encode_private_token(again, token) == TokenError::kNone);
  check_again(again, plaintext, fields);
}

void check_challenge_token(Bytes input) {
  const PacketKey key;
  auto sealed = sized<kChallengeTokenSize>(input);
  ChallengeToken token;
  // Nobody without the key seals anything that opens.
  require(!open_challenge_token(sealed, key, 1, token));
  const auto plaintext = sealed;
  key.seal_in_place(1, {}, sealed);
  require(open_challenge_token(sealed, key, 1, token));
  require(token.client_id == load_little_endian<std::uint64_t>(plaintext.data()));
  require(fuzz::same(token.user_data, Bytes(plaintext).subspan(8, kUserDataSize)));
}

void check_request(Bytes input) {
  if (input.empty() || input[0] != std::byte{0}) return;
  const auto request = parse_request(input);
  require(request.has_value() || request.error() != RequestError::kLength || input.size() != kRequestSize);
  if (!request) return;
  PublicToken token;
  token.protocol_id = request->protocol_id;
  token.expire = request->expire;
  std::ranges::copy(request->nonce, token.nonce.begin());
  std::ranges::copy(request->sealed_private, token.sealed_private.begin());
  std::array<std::byte, kRequestSize> again{};
  encode_request(again, token);
  require(fuzz::same(again, input));
  PrivateToken secret;
  require(open_private_token(request->sealed_private, Key(), request->protocol_id, request->expire,
                             request->nonce, secret) == TokenError::kSealed);
}

void check_body(PacketType type, Bytes body) {
  if (!is_body_size(type, body.size())) return;
  if (type == PacketType::kChallenge || type == PacketType::kResponse) {
    const ChallengeBody challenge = decode_challenge(body.first<kChallengeBodySize>());
    std::array<std::byte, kChallengeBodySize> again{};
    encode_challenge(again, challenge);
    require(fuzz::same(again, body));
    ChallengeToken token;
    require(!open_challenge_token(challenge.token, PacketKey(), challenge.sequence, token));
  } else if (type == PacketType::kKeepAlive) {
    require(fuzz::same(encode_keep_alive(decode_keep_alive(body.first<kKeepAliveBodySize>())), body));
  } else {
    require(body.size() <= kMaxPayloadSize && body.empty() == (type != PacketType::kPayload));
  }
}

void check_packet(Bytes input) {
  const PacketKey key;
  const AssociatedData associated_data(0);
  std::vector<std::byte> datagram(input.begin(), input.end());
  if (const auto header = parse_header(datagram, kAllTypes)) {
    require(may_begin_packet(header->prefix) || header->type == PacketType::kRequest);
    require(header->size + kTagSize <= datagram.size());
    require(sequence_size(header->sequence) < header->size);
    require(!open_packet(datagram, *header, key, associated_data));
    require(all_zero(Bytes(datagram).subspan(header->size, datagram.size() - header->size - kTagSize)));
  }

  // Header and body of somebody who has the key.
  datagram.assign(input.begin(), input.end());
  datagram.resize(input.size() + kTagSize);
  const auto header = parse_header(datagram, kAllTypes);
  if (!header) return;
  const Bytes body = input.subspan(header->size);
  key.seal_in_place(header->sequence, associated_data.with(header->prefix),
                    MutableBytes(datagram).subspan(header->size));
  if (header->type != PacketType::kRequest && is_body_size(header->type, body.size())) {
    std::vector<std::byte> again(kMaxHeaderSize + body.size() + kTagSize);
    again.resize(seal_packet(again, header->type, header->sequence, body, key, associated_data));
    // The same bytes, unless the input's sequence number is longer than it needs to be.
    require((header->size == 1 + sequence_size(header->sequence)) == (again == datagram));
  }
  const auto opened = open_packet(datagram, *header, key, associated_data);
  require(opened && fuzz::same(*opened, body));
  if (header->type != PacketType::kRequest) check_body(header->type, *opened);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = fuzz::input(data, size);
  check_public(input);
  check_private(input);
  check_challenge_token(input);
  check_request(input);
  check_packet(input);
  return 0;
}
