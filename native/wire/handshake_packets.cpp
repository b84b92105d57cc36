#include "wire/handshake_packets.hpp"

#include <algorithm>
#include <cassert>

namespace hawser {

namespace {

static_assert(kChallengeSize == 94);
static_assert(kResponseSize == 1198);
static_assert(kAcceptSize == 137);
static_assert(kDeniedSize == 45);

// First byte and nonce, before the sealed part of CHALLENGE, ACCEPT and DENIED.
constexpr std::size_t kSealedOffset = 1 + kNonceSize;

constexpr std::size_t kRequestSealedOffset = 1 + kTokenClearSize;
constexpr std::size_t kRequestShareOffset = kRequestSealedOffset + kSealedPrivateTokenSize;
constexpr std::size_t kRequestPaddingOffset = kRequestShareOffset + kShareSize;
constexpr std::size_t kResponseCookieOffset = 1 + kRepeatedRequestSize;
constexpr std::size_t kResponseNonceOffset = kResponseCookieOffset + kCookieSize;
constexpr std::size_t kResponseSealedOffset = kResponseNonceOffset + kNonceSize;
static_assert(kRequestPaddingOffset == 1073 && kResponseCookieOffset == 1073);

std::uint8_t first_byte(Bytes datagram) { return std::to_integer<std::uint8_t>(datagram[0]); }

// Writes what precedes the sealed part.
void write_sealed_header(MutableBytes out, std::uint8_t kind, NonceView nonce) {
  ByteWriter writer(out);
  writer.u8(kind);
  writer.bytes(nonce);
}

// CHALLENGE and DENIED are bound to what they answer: the token and the attempt's share.
using BoundData = std::array<std::byte, kSealedOffset + 32 + kShareSize>;

BoundData bound_data(Bytes header, const TokenId& token, ShareView client_share) {
  BoundData data{};
  ByteWriter writer(data);
  writer.bytes(header);
  writer.bytes(token);
  writer.bytes(client_share);
  return data;
}

// ACCEPT is bound to the RESPONSE that it answers.
using AcceptData = std::array<std::byte, kSealedOffset + 32>;

AcceptData accept_data(Bytes header, const Hash256& response) {
  AcceptData data{};
  ByteWriter writer(data);
  writer.bytes(header);
  writer.bytes(response);
  return data;
}

// Whether a datagram of one fixed size opens. The nonce follows the first byte.
template <std::size_t N>
bool open_sealed(Secret<N>& out, Bytes datagram, std::uint8_t kind, const Key& key, Bytes associated_data) {
  if (datagram.size() != kSealedOffset + N + kTagSize || first_byte(datagram) != kind) return false;
  return open(out.mutable_bytes(), key, datagram.subspan<1, kNonceSize>(), associated_data,
              datagram.subspan(kSealedOffset));
}

void write_connection_id(ByteWriter& writer, const ConnectionId& id) {
  assert(id.length >= ConnectionId::kMin && id.length <= ConnectionId::kMax);
  writer.u8(id.length);
  writer.bytes(id.bytes);
}

// Fails the reader when the length is out of range or the padding is not zero.
ConnectionId read_connection_id(ByteReader& reader) {
  const std::size_t length = reader.u8();
  const Bytes padded = reader.bytes(ConnectionId::kMax);
  if (length < ConnectionId::kMin || length > ConnectionId::kMax || !all_zero(padded.subspan(length))) {
    reader.fail();
    return {};
  }
  return ConnectionId::from(padded.first(length)).value_or(ConnectionId{});
}

void write_max_datagram(ByteWriter& writer, std::uint16_t size) {
  assert(size >= kLeastMaxDatagram && size <= kGreatestMaxDatagram);
  writer.u16(size);
}

// Fails the reader when the size is out of range.
std::uint16_t read_max_datagram(ByteReader& reader) {
  const std::uint16_t size = reader.u16();
  if (size < kLeastMaxDatagram || size > kGreatestMaxDatagram) reader.fail();
  return size;
}

// What REQUEST and RESPONSE share, from a datagram of at least kRequestPaddingOffset bytes.
Result<TokenCarrierView, HandshakeError> parse_token_carrier(Bytes datagram) {
  auto clear = decode_token_clear(datagram.subspan<1, kTokenClearSize>());
  if (!clear) return Failure{HandshakeError::kVersion};
  return TokenCarrierView{*clear, datagram.subspan<1, kTokenAssociatedDataSize>(),
                          datagram.subspan<kRequestSealedOffset, kSealedPrivateTokenSize>(),
                          datagram.subspan<kRequestShareOffset, kShareSize>()};
}

}  // namespace

Cookie Cookie::make(std::uint32_t time, std::uint8_t index, const CookieMac& mac) {
  Cookie cookie{time, index, mac, {}};
  ByteWriter writer(cookie.raw);
  writer.u32(time);
  writer.u8(index);
  writer.bytes(mac);
  return cookie;
}

Cookie Cookie::decode(CookieView raw) {
  ByteReader reader(raw);
  Cookie cookie;
  cookie.time = reader.u32();
  cookie.index = reader.u8();
  cookie.mac = reader.array<16>();
  std::ranges::copy(raw, cookie.raw.begin());
  return cookie;
}

void encode_request(std::span<std::byte, kRequestSize> out, const PublicToken& token,
                    ShareView client_share) {
  out[0] = std::byte{kRequestByte};
  encode_token_clear(out.subspan<1, kTokenClearSize>(), token.clear);
  ByteWriter writer(out.subspan<kRequestSealedOffset>());
  writer.bytes(token.sealed_private);
  writer.bytes(client_share);
  writer.zeros(writer.remaining());
}

Result<RequestView, HandshakeError> parse_request(Bytes datagram) {
  if (datagram.size() != kRequestSize) return Failure{HandshakeError::kLength};
  if (first_byte(datagram) != kRequestByte) return Failure{HandshakeError::kKind};
  return parse_token_carrier(datagram);
}

ChallengePlaintext challenge_plaintext(CookieView cookie, ShareView server_share) {
  ChallengePlaintext plaintext{};
  ByteWriter writer(plaintext);
  writer.bytes(cookie);
  writer.bytes(server_share);
  return plaintext;
}

void encode_challenge(std::span<std::byte, kChallengeSize> out, const Key& challenge_key, NonceView nonce,
                      const TokenId& token, ShareView client_share, CookieView cookie,
                      ShareView server_share) {
  write_sealed_header(out, kChallengeByte, nonce);
  seal(out.subspan(kSealedOffset), challenge_key, nonce,
       bound_data(out.first(kSealedOffset), token, client_share), challenge_plaintext(cookie, server_share));
}

bool open_challenge(Bytes datagram, const Key& challenge_key, const TokenId& token, ShareView client_share,
                    ChallengeBody& out) {
  if (datagram.size() != kChallengeSize) return false;
  Secret<kChallengePlaintextSize> plaintext;
  if (!open_sealed(plaintext, datagram, kChallengeByte, challenge_key,
                   bound_data(datagram.first(kSealedOffset), token, client_share))) {
    return false;
  }
  std::ranges::copy(plaintext.bytes(), out.plaintext.begin());
  return true;
}

void encode_response(std::span<std::byte, kResponseSize> out,
                     std::span<const std::byte, kRequestSize> request, CookieView cookie,
                     const Key& response_key, NonceView nonce, const ResponseBody& body) {
  ByteWriter writer(out);
  writer.u8(kResponseByte);
  writer.bytes(request.subspan<1, kRepeatedRequestSize>());
  writer.bytes(cookie);
  writer.bytes(nonce);

  std::array<std::byte, kResponsePlaintextSize> plaintext{};
  ByteWriter body_writer(plaintext);
  body_writer.u32(body.features);
  write_connection_id(body_writer, body.connection_id);
  write_max_datagram(body_writer, body.max_datagram);
  body_writer.u32(body.credit);
  body_writer.u32(body.channel_credit);
  body_writer.bytes(body.channels);
  seal(out.subspan(kResponseSealedOffset), response_key, nonce, out.first(kResponseSealedOffset), plaintext);
}

Result<ResponseView, HandshakeError> parse_response(Bytes datagram) {
  if (datagram.size() != kResponseSize) return Failure{HandshakeError::kLength};
  if (first_byte(datagram) != kResponseByte) return Failure{HandshakeError::kKind};
  const auto carrier = parse_token_carrier(datagram);
  if (!carrier) return Failure{carrier.error()};
  return ResponseView{*carrier, Cookie::decode(datagram.subspan<kResponseCookieOffset, kCookieSize>()),
                      datagram.first<kResponseSize>()};
}

bool open_response(const ResponseView& view, const Key& response_key, ResponseBody& out) {
  Secret<kResponsePlaintextSize> plaintext;
  if (!open(plaintext.mutable_bytes(), response_key,
            view.datagram.subspan<kResponseNonceOffset, kNonceSize>(),
            view.datagram.first(kResponseSealedOffset), view.datagram.subspan(kResponseSealedOffset))) {
    return false;
  }
  ByteReader reader(plaintext.bytes());
  out.features = reader.u32();
  out.connection_id = read_connection_id(reader);
  out.max_datagram = read_max_datagram(reader);
  out.credit = reader.u32();
  out.channel_credit = reader.u32();
  out.channels = reader.array<16>();
  return reader.ok();
}

void encode_accept(std::span<std::byte, kAcceptSize> out, const Key& accept_key, NonceView nonce,
                   const Hash256& response, const AcceptBody& body) {
  write_sealed_header(out, kAcceptByte, nonce);
  Secret<kAcceptPlaintextSize> plaintext;
  ByteWriter writer(plaintext.mutable_bytes());
  writer.u32(body.features);
  write_connection_id(writer, body.connection_id);
  writer.bytes(body.random);
  writer.bytes(body.reset_token);
  write_max_datagram(writer, body.max_datagram);
  writer.u32(body.credit);
  writer.u32(body.channel_credit);
  seal(out.subspan(kSealedOffset), accept_key, nonce, accept_data(out.first(kSealedOffset), response),
       plaintext.bytes());
}

bool open_accept(Bytes datagram, const Key& accept_key, const Hash256& response, AcceptBody& out) {
  if (datagram.size() != kAcceptSize) return false;
  Secret<kAcceptPlaintextSize> plaintext;
  if (!open_sealed(plaintext, datagram, kAcceptByte, accept_key,
                   accept_data(datagram.first(kSealedOffset), response))) {
    return false;
  }
  ByteReader reader(plaintext.bytes());
  out.features = reader.u32();
  out.connection_id = read_connection_id(reader);
  out.random = reader.array<32>();
  out.reset_token = reader.array<16>();
  out.max_datagram = read_max_datagram(reader);
  out.credit = reader.u32();
  out.channel_credit = reader.u32();
  return reader.ok();
}

void encode_denied(std::span<std::byte, kDeniedSize> out, const Key& denied_key, NonceView nonce,
                   const TokenId& token, ShareView client_share, DeniedReason reason) {
  write_sealed_header(out, kDeniedByte, nonce);
  std::array<std::byte, kDeniedPlaintextSize> plaintext{};
  store_little_endian(plaintext.data(), static_cast<std::uint32_t>(reason));
  seal(out.subspan(kSealedOffset), denied_key, nonce,
       bound_data(out.first(kSealedOffset), token, client_share), plaintext);
}

std::optional<std::uint32_t> open_denied(Bytes datagram, const Key& denied_key, const TokenId& token,
                                         ShareView client_share) {
  if (datagram.size() != kDeniedSize) return std::nullopt;
  Secret<kDeniedPlaintextSize> plaintext;
  if (!open_sealed(plaintext, datagram, kDeniedByte, denied_key,
                   bound_data(datagram.first(kSealedOffset), token, client_share))) {
    return std::nullopt;
  }
  return load_little_endian<std::uint32_t>(plaintext.bytes().data());
}

std::size_t encode_reset(MutableBytes out, const ConnectionId& connection_id, ResetTokenView token) {
  ByteWriter writer(out);
  writer.u8(kResetByte);
  writer.bytes(connection_id.view());
  writer.bytes(token);
  assert(writer.ok());
  return writer.position();
}

std::optional<ResetView> parse_reset(Bytes datagram) {
  if (datagram.size() < kMinResetSize || datagram.size() > kMaxResetSize ||
      first_byte(datagram) != kResetByte) {
    return std::nullopt;
  }
  const auto id = ConnectionId::from(datagram.subspan(1, datagram.size() - kResetOverhead));
  if (!id) return std::nullopt;
  return ResetView{*id, datagram.last<16>()};
}

}  // namespace hawser
