// Prints docs/protocol-vectors.json: worked examples of everything in docs/protocol.md, the same bytes at
// every run. With
// `--check FILE` it prints nothing and fails unless FILE holds exactly that.
//
// Each positive example is opened and each negative one refused by the codecs here before it is written; each
// associated data and plaintext is put together by hand, from the page, and opens what the encoders made.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/sodium.hpp"
#include "wire/connect_token.hpp"
#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace hawser {
namespace {

using Buffer = std::vector<std::byte>;
using std::chrono::milliseconds;

// ---- JSON

class Json {
 public:
  static Json object() { return Json(Kind::kObject); }
  static Json array() { return Json(Kind::kArray); }

  // NOLINTBEGIN(google-explicit-constructor): so that examples read like what they become
  Json(std::string_view text) : kind_(Kind::kScalar), scalar_('"' + std::string(text) + '"') {}
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(bool value) : kind_(Kind::kScalar), scalar_(value ? "true" : "false") {}
  Json(std::uint32_t value) : kind_(Kind::kScalar), scalar_(std::to_string(value)) {}
  // NOLINTEND(google-explicit-constructor)
  static Json null() {
    Json value(Kind::kScalar);
    value.scalar_ = "null";
    return value;
  }

  Json& set(std::string_view name, Json value) {
    members_.emplace_back(name, std::move(value));
    return *this;
  }
  Json& add(Json value) {
    members_.emplace_back("", std::move(value));
    return *this;
  }

  void print(std::string& out, std::size_t depth) const {
    if (kind_ == Kind::kScalar) {
      out += scalar_;
      return;
    }
    const bool is_object = kind_ == Kind::kObject;
    if (members_.empty()) {
      out += is_object ? "{}" : "[]";
      return;
    }
    out += is_object ? "{\n" : "[\n";
    for (std::size_t i = 0; i < members_.size(); ++i) {
      out.append(2 * (depth + 1), ' ');
      if (is_object) out += '"' + members_[i].first + "\": ";
      members_[i].second.print(out, depth + 1);
      out += i + 1 < members_.size() ? ",\n" : "\n";
    }
    out.append(2 * depth, ' ');
    out += is_object ? '}' : ']';
  }

 private:
  enum class Kind : std::uint8_t { kScalar, kObject, kArray };

  explicit Json(Kind kind) : kind_(kind) {}

  Kind kind_;
  std::string scalar_;
  std::vector<std::pair<std::string, Json>> members_;
};

// ---- Helpers

// An example that does not do what is said of it must never be written.
void require(bool holds, std::string_view what) {
  if (holds) return;
  std::cerr << "protocol_vectors: " << what << " does not hold\n";
  std::exit(1);
}

std::string hex(Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte value : bytes) {
    text += kDigits[std::to_integer<unsigned>(value) >> 4U];
    text += kDigits[std::to_integer<unsigned>(value) & 15U];
  }
  return text;
}

std::string base64url(Bytes bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  unsigned bits = 0;
  unsigned count = 0;
  for (const std::byte value : bytes) {
    bits = (bits << 8U) | std::to_integer<unsigned>(value);
    for (count += 8; count >= 6; count -= 6) text += kDigits[(bits >> (count - 6)) & 63U];
    bits &= 0xffU;
  }
  if (count > 0) text += kDigits[(bits << (6 - count)) & 63U];
  return text;
}

// u64 and varint values stand as decimal strings: a JSON number does not hold them.
std::string decimal(std::uint64_t value) { return std::to_string(value); }

std::string unix_ms(WallTime time) { return std::to_string(time.time_since_epoch().count()); }

std::uint32_t whole_ms(Duration duration) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<milliseconds>(duration).count());
}

Buffer joined(std::initializer_list<Bytes> parts) {
  Buffer bytes;
  for (const Bytes part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

template <class T>
Buffer little_endian(T value) {
  Buffer bytes(sizeof(T));
  store_little_endian(bytes.data(), value);
  return bytes;
}

Buffer random_bytes(RandomSource& random, std::size_t size) {
  Buffer bytes(size);
  random.fill(bytes);
  return bytes;
}

template <std::size_t N>
std::array<std::byte, N> random_array(RandomSource& random) {
  std::array<std::byte, N> bytes{};
  random.fill(bytes);
  return bytes;
}

Buffer flipped(Bytes bytes, std::size_t at) {
  Buffer changed(bytes.begin(), bytes.end());
  changed[at] ^= std::byte{1};
  return changed;
}

template <class T>
Buffer patched(Bytes bytes, std::size_t at, T value) {
  Buffer changed(bytes.begin(), bytes.end());
  store_little_endian(&changed[at], value);
  return changed;
}

Buffer opened(const Key& key, NonceView nonce, Bytes associated_data, Bytes sealed) {
  Buffer plaintext(sealed.size() - kTagSize);
  require(open(plaintext, key, nonce, associated_data, sealed), "a sealed example opens");
  return plaintext;
}

Json json_of(const SocketAddress& address) {
  const bool ipv4 = address.family == SocketAddress::Family::kIpv4;
  return std::move(Json::object()
                       .set("family", std::uint32_t{ipv4 ? 4U : 6U})
                       .set("ip", hex(Bytes(address.ip).first(ipv4 ? 4 : 16)))
                       .set("port", std::uint32_t{address.port}));
}

SocketAddress ipv6_address(std::uint8_t last, std::uint16_t port) {
  return SocketAddress::ipv6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}, port);
}

Json refused(std::string_view name, std::string_view field, Bytes bytes, std::string_view reason) {
  return std::move(Json::object().set("name", name).set(field, hex(bytes)).set("reason", reason));
}

// ---- Section 1: varint and addresses

Json varints() {
  Json valid = Json::array();
  const auto add = [&valid](Bytes bytes, bool shortest) {
    ByteReader reader(bytes);
    const std::uint64_t value = reader.varint();
    require(reader.finished(), "a varint is read to its end");
    require((bytes.size() == varint_size(value)) == shortest, "the shortest form is marked");
    valid.add(std::move(
        Json::object().set("value", decimal(value)).set("bytes", hex(bytes)).set("shortest", shortest)));
  };
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{37}, std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{15293},
        std::uint64_t{16383}, std::uint64_t{16384}, std::uint64_t{494878333}, std::uint64_t{1073741823},
        std::uint64_t{1073741824}, std::uint64_t{151288809941952652}, kVarintMax}) {
    std::array<std::byte, 8> storage{};
    ByteWriter writer(storage);
    writer.varint(value);
    add(writer.written(), true);
  }
  add(std::array{std::byte{0x40}, std::byte{0x25}}, false);
  add(std::array{std::byte{0x80}, std::byte{0}, std::byte{0}, std::byte{0x25}}, false);

  Json invalid = Json::array();
  for (const Buffer& bytes :
       {Buffer{}, Buffer{std::byte{0x40}}, Buffer(3, std::byte{0x80}), Buffer(7, std::byte{0xff})}) {
    ByteReader reader(bytes);
    reader.varint();
    require(!reader.ok(), "a cut varint is refused");
    invalid.add(refused("cut short", "bytes", bytes, "the first byte announces more bytes than there are"));
  }
  return std::move(Json::object().set("valid", std::move(valid)).set("invalid", std::move(invalid)));
}

Json addresses() {
  Json valid = Json::array();
  for (const SocketAddress& address :
       {SocketAddress::ipv4({192, 0, 2, 1}, 40000), SocketAddress::ipv4({255, 255, 255, 255}, 65535),
        SocketAddress::ipv6({0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 1),
        SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 443)}) {
    std::array<std::byte, kIpv6AddressSize> storage{};
    ByteWriter writer(storage);
    encode_address(writer, address);
    ByteReader reader(writer.written());
    require(decode_address(reader) == address && reader.finished(), "an address is read back");
    valid.add(std::move(json_of(address).set("bytes", hex(writer.written()))));
  }
  Json invalid = Json::array();
  const auto add = [&invalid](std::string_view name, const Buffer& bytes, std::string_view reason) {
    ByteReader reader(bytes);
    require(decode_address(reader) == SocketAddress{} && !reader.ok(), "a bad address is refused");
    invalid.add(refused(name, "bytes", bytes, reason));
  };
  const auto bytes_of_u8 = [](std::initializer_list<unsigned> values) {
    Buffer bytes;
    for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
    return bytes;
  };
  add("port 0", bytes_of_u8({1, 192, 0, 2, 1, 0, 0}), "a port of 0");
  add("kind 0", bytes_of_u8({0, 192, 0, 2, 1, 0x40, 0x9c}), "the kind is neither 1 nor 2");
  add("kind 3", bytes_of_u8({3, 192, 0, 2, 1, 0x40, 0x9c}), "the kind is neither 1 nor 2");
  add("0.0.0.0", bytes_of_u8({1, 0, 0, 0, 0, 0x40, 0x9c}), "an unspecified address");
  add("::", bytes_of_u8({2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x9c}),
      "an unspecified address");
  add("::ffff:192.0.2.1",
      bytes_of_u8({2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0x40, 0x9c}),
      "IPv4-mapped: to be written as IPv4");
  add("IPv4 cut short", bytes_of_u8({1, 192, 0, 2, 1, 0x40}), "7 bytes are needed");
  add("IPv6 cut short", bytes_of_u8({2, 192, 0, 2, 1, 0x40, 0x9c}), "19 bytes are needed");
  return std::move(Json::object().set("valid", std::move(valid)).set("invalid", std::move(invalid)));
}

// ---- Section 2: the token

struct Token {
  Key server_key;
  PublicToken content;
  Buffer bytes;
  TokenId id{};
  HandshakeKeys keys;
  Json json = Json::object();
};

Token make_token(std::string_view name, RandomSource& random, const TokenParameters& parameters) {
  Token token;
  random.fill(token.server_key.mutable_bytes());
  token.bytes.resize(kMaxTokenSize);
  const auto size = mint_token(token.bytes, parameters, token.server_key, random);
  require(size.has_value(), "a token is minted");
  token.bytes.resize(*size);
  auto content = decode_public_token(token.bytes);
  require(content.has_value(), "a token is decoded");
  token.content = std::move(*content);
  token.id = token_id(token.content.sealed_private);
  token.keys = HandshakeKeys::from(token.content.client_to_server, token.content.server_to_client);

  const Bytes associated_data = Bytes(token.bytes).first(40);
  const Buffer plaintext =
      opened(token.server_key, token.content.clear.nonce, associated_data, token.content.sealed_private);
  Json list = Json::array();
  for (const SocketAddress& address : parameters.addresses) list.add(json_of(address));
  token.json.set("name", name)
      .set("serverKey", hex(token.server_key.bytes()))
      .set("protocolId", decimal(parameters.protocol_id))
      .set("keyId", parameters.key_id)
      .set("singleUse", parameters.single_use)
      .set("createTime", unix_ms(parameters.create))
      .set("expireTime", unix_ms(parameters.expire))
      .set("nonce", hex(token.content.clear.nonce))
      .set("clientId", decimal(parameters.client_id))
      .set("timeoutMs", whole_ms(parameters.timeout))
      .set("addresses", std::move(list))
      .set("clientToServerKey", hex(token.content.client_to_server.bytes()))
      .set("serverToClientKey", hex(token.content.server_to_client.bytes()))
      .set("userData", hex(parameters.user_data))
      .set("privatePlaintext", hex(plaintext))
      .set("associatedData", hex(associated_data))
      .set("sealedPrivate", hex(token.content.sealed_private))
      .set("token", hex(token.bytes))
      .set("base64url", base64url(token.bytes))
      .set("tokenId", hex(token.id))
      .set("handshakeKeys", std::move(Json::object()
                                          .set("challenge", hex(token.keys.challenge.bytes()))
                                          .set("denied", hex(token.keys.denied.bytes()))
                                          .set("accept", hex(token.keys.accept.bytes()))
                                          .set("response", hex(token.keys.response.bytes()))));
  return token;
}

std::vector<Token> make_tokens(RandomSource& random) {
  std::vector<Token> tokens;

  const std::array few = {SocketAddress::ipv4({192, 0, 2, 1}, 40000), ipv6_address(1, 40001)};
  const Buffer user_data = random_bytes(random, 21);
  TokenParameters parameters;
  parameters.protocol_id = 0x1122334455667788U;
  parameters.key_id = 7;
  parameters.create = WallTime(milliseconds(1'700'000'000'000));
  parameters.expire = WallTime(milliseconds(1'700'003'600'000));
  parameters.client_id = 0xfedcba9876543210U;
  parameters.timeout = milliseconds(15'000);
  parameters.addresses = few;
  parameters.user_data = user_data;
  tokens.push_back(make_token("two addresses, some user data", random, parameters));

  std::vector<SocketAddress> many;
  for (std::uint8_t i = 1; i <= kMaxTokenAddresses; ++i) many.push_back(ipv6_address(i, 50000));
  const Buffer largest = random_bytes(random, 256);
  parameters.protocol_id = ~std::uint64_t{0};
  parameters.key_id = ~std::uint32_t{0};
  parameters.single_use = true;
  parameters.client_id = ~std::uint64_t{0};
  parameters.timeout = kMaxTokenTimeout;
  parameters.addresses = many;
  parameters.user_data = largest;
  tokens.push_back(make_token("single use; 32 IPv6 addresses, 256 bytes of user data", random, parameters));

  parameters = {};
  parameters.timeout = kMinTokenTimeout;
  parameters.addresses = std::span(few).first(1);
  tokens.push_back(make_token("the least of everything", random, parameters));

  const Buffer widest = random_bytes(random, 857);
  parameters.expire = kMaxTokenTime;
  parameters.user_data = widest;
  tokens.push_back(make_token("the most user data: 857 bytes beside one IPv4 address", random, parameters));
  return tokens;
}

Json invalid_public_tokens(const Token& token) {
  Json list = Json::array();
  const auto add = [&list](std::string_view name, const Buffer& bytes, std::string_view reason) {
    require(!decode_public_token(bytes).has_value(), "a bad token is refused");
    list.add(refused(name, "token", bytes, reason));
  };
  const Bytes good(token.bytes);
  add("empty", {}, "shorter than any token");
  add("last byte missing", Buffer(good.begin(), good.end() - 1), "the last address is cut short");
  add("one byte more", joined({good, std::array{std::byte{0}}}), "bytes after the last address");
  add("version", patched(good, 7, std::uint8_t{'2'}), "the version is not \\\"HAWSER 1\\\"");
  add("flag 1", patched(good, 20, std::uint32_t{2}), "a flag other than bit 0");
  add("flag 31", patched(good, 20, std::uint32_t{1} << 31U), "a flag other than bit 0");
  add("expires before it is made", patched(good, 32, std::uint64_t{1'699'999'999'999}), "create > expire");
  add("expires at 2^53", patched(good, 32, std::uint64_t{1} << 53U), "a time above 2^53 - 1");
  add("timeout 999", patched(good, 1040, std::uint32_t{999}), "the timeout is below 1,000 ms");
  add("timeout 3600001", patched(good, 1040, std::uint32_t{3'600'001}), "the timeout is above 3,600,000 ms");
  add("no address", patched(good, 1044, std::uint16_t{0}), "the number of addresses is not 1 to 32");
  add("33 addresses", patched(good, 1044, std::uint16_t{33}), "the number of addresses is not 1 to 32");
  add("3 addresses announced", patched(good, 1044, std::uint16_t{3}), "the third address is missing");
  add("1 address announced", patched(good, 1044, std::uint16_t{1}), "bytes after the last address");
  add("reserved", patched(good, 1046, std::uint16_t{1}), "the reserved field is not 0");
  add("address kind", patched(good, 1112, std::uint8_t{3}), "an invalid address");
  add("address port", patched(good, 1117, std::uint16_t{0}), "an invalid address");
  add("address unspecified", patched(good, 1113, std::uint32_t{0}), "an invalid address");
  return list;
}

Json invalid_private_tokens(const Token& token, RandomSource& random) {
  Json list = Json::array();
  const Bytes associated_data = Bytes(token.bytes).first(40);
  const NonceView nonce = token.content.clear.nonce;
  const auto add = [&](std::string_view name, const Key& key, Bytes data, NonceView used, Bytes sealed,
                       std::string_view reason) {
    PrivateToken out;
    require(open_private_token(sealed.first<kSealedPrivateTokenSize>(), key, data.first<40>(), used, out) !=
                TokenError::kNone,
            "a bad private part is refused");
    list.add(std::move(Json::object()
                           .set("name", name)
                           .set("serverKey", hex(key.bytes()))
                           .set("associatedData", hex(data))
                           .set("nonce", hex(used))
                           .set("sealedPrivate", hex(sealed))
                           .set("reason", reason)));
  };
  const Bytes sealed = token.content.sealed_private;
  const std::string_view not_authentic = "the tag does not verify";
  add("another key", Key(random_array<32>(random)), associated_data, nonce, sealed, not_authentic);
  add("first byte changed", token.server_key, associated_data, nonce, flipped(sealed, 0), not_authentic);
  add("tag changed", token.server_key, associated_data, nonce, flipped(sealed, 975), not_authentic);
  add("key id changed", token.server_key, flipped(associated_data, 16), nonce, sealed, not_authentic);
  add("expire changed", token.server_key, flipped(associated_data, 32), nonce, sealed, not_authentic);
  add("nonce changed", token.server_key, associated_data, Nonce{}, sealed, not_authentic);

  const Buffer good = opened(token.server_key, nonce, associated_data, sealed);
  const auto add_plaintext = [&](std::string_view name, const Buffer& plaintext, std::string_view reason) {
    const Nonce fresh = random_array<kNonceSize>(random);
    Buffer resealed(kSealedPrivateTokenSize);
    seal(resealed, token.server_key, fresh, associated_data, plaintext);
    add(name, token.server_key, associated_data, fresh, resealed, reason);
  };
  add_plaintext("timeout 999", patched(good, 8, std::uint32_t{999}), "the timeout is below 1,000 ms");
  add_plaintext("timeout 3600001", patched(good, 8, std::uint32_t{3'600'001}),
                "the timeout is above 3,600,000 ms");
  add_plaintext("no address", patched(good, 12, std::uint16_t{0}), "the number of addresses is not 1 to 32");
  add_plaintext("33 addresses", patched(good, 12, std::uint16_t{33}),
                "the number of addresses is not 1 to 32");
  add_plaintext("user data beyond the area", patched(good, 14, std::uint16_t{864}),
                "addresses and user data take more than 864 bytes");
  add_plaintext("user data length 0", patched(good, 14, std::uint16_t{0}), "the padding is not zero");
  add_plaintext("reserved", patched(good, 80, std::uint8_t{1}), "the reserved field is not 0");
  add_plaintext("address kind", patched(good, 96, std::uint8_t{0}), "an invalid address");
  add_plaintext("last byte", patched(good, 959, std::uint8_t{1}), "the padding is not zero");
  return list;
}

// ---- Section 12: the declaration of channels

constexpr std::string_view kLongest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
constexpr std::array kDefaultChannels = {ChannelDigestEntry{0, 0, "default", "bytes"}};
constexpr std::array kFourChannels = {
    ChannelDigestEntry{0, 0, "moves", "bytes"}, ChannelDigestEntry{1, 65536, "caf\xc3\xa9", "json"},
    ChannelDigestEntry{2, 16'777'216, kLongest, kLongest}, ChannelDigestEntry{3, 1, "z", ""}};

Json channel_digests() {
  Json list = Json::array();
  const auto add = [&list](std::string_view name, std::span<const ChannelDigestEntry> channels) {
    Buffer input = joined(
        {label_bytes("HAWSER 1 channels"), little_endian(static_cast<std::uint16_t>(channels.size()))});
    Json declaration = Json::array();
    for (const ChannelDigestEntry& channel : channels) {
      input =
          joined({input, little_endian(channel.mode), little_endian(channel.max_message_bytes),
                  little_endian(static_cast<std::uint8_t>(channel.name.size())), bytes_of(channel.name),
                  little_endian(static_cast<std::uint8_t>(channel.codec.size())), bytes_of(channel.codec)});
      declaration.add(std::move(Json::object()
                                    .set("mode", std::uint32_t{channel.mode})
                                    .set("maxMessageBytes", channel.max_message_bytes)
                                    .set("name", channel.name)
                                    .set("codec", channel.codec)));
    }
    const Hash128 digest = channels_digest(channels);
    require(blake2b_128({}, {input}) == digest, "the digest is that of its input");
    list.add(std::move(Json::object()
                           .set("name", name)
                           .set("channels", std::move(declaration))
                           .set("input", hex(input))
                           .set("digest", hex(digest))));
  };
  add("the default channels", kDefaultChannels);
  add("each mode; the longest name and codec, the greatest maximum", kFourChannels);
  return list;
}

// ---- Sections 3 and 4: the handshake and its keys

struct Handshake {
  const Token* token = nullptr;
  Share client_share{};
  RequestDatagram request{};
  ChallengeDatagram challenge{};
  ResponseDatagram response{};
  AcceptDatagram accept{};
  DeniedDatagram denied{};
  Buffer reset;
  ConnectionId client_id;
  ConnectionId server_id;
  Prk prk;
  Json json = Json::object();
};

// What one side says of itself in RESPONSE or ACCEPT.
struct Limits {
  std::uint16_t max_datagram = kLeastMaxDatagram;
  std::uint32_t credit = 0;
  std::uint32_t channel_credit = 0;
};

struct HandshakeParameters {
  std::string_view name;
  std::uint32_t token = 0;
  SocketAddress source;
  std::size_t id_length = 8;
  std::uint32_t offered = 0;
  std::uint32_t accepted = 0;
  DeniedReason reason = DeniedReason::kServerFull;
  Limits client;
  Limits server;
  Hash128 channels{};
};

// What CHALLENGE and DENIED are bound to.
Buffer bound_data(Bytes datagram, const TokenId& token, const Share& client_share) {
  return joined({datagram.first(25), token, client_share});
}

Json sealed_json(Bytes nonce, Bytes associated_data, Bytes plaintext, Bytes datagram) {
  return std::move(Json::object()
                       .set("nonce", hex(nonce))
                       .set("associatedData", hex(associated_data))
                       .set("plaintext", hex(plaintext))
                       .set("datagram", hex(datagram)));
}

Json key_schedule(const Handshake& handshake, const Secret<32>& shared, Bytes accept_random,
                  Bytes challenge_plaintext) {
  const Key& c2s = handshake.token->content.client_to_server;
  const Key& s2c = handshake.token->content.server_to_client;
  const Hash256 th = transcript(handshake.response, challenge_plaintext, handshake.accept);
  Json epochs = Json::array();
  for (const Direction direction : {Direction::kClientToServer, Direction::kServerToClient}) {
    for (const std::uint32_t epoch : {0U, 1U, 5U, 4294967295U}) {
      epochs.add(std::move(Json::object()
                               .set("direction", static_cast<std::uint32_t>(direction))
                               .set("epoch", epoch)
                               .set("key", hex(traffic_key(handshake.prk, direction, epoch).bytes()))
                               .set("salt", hex(traffic_salt(handshake.prk, direction, epoch)))));
    }
  }
  const Key exporter = exporter_secret(handshake.prk);
  Json exported = Json::array();
  for (const std::string_view label : {"a", "example.org/login", "caf\xc3\xa9"}) {
    exported.add(
        std::move(Json::object().set("label", label).set("key", hex(export_key(exporter, label).bytes()))));
  }
  return std::move(Json::object()
                       .set("clientToServerKey", hex(c2s.bytes()))
                       .set("serverToClientKey", hex(s2c.bytes()))
                       .set("x25519", hex(shared.bytes()))
                       .set("acceptRandom", hex(accept_random))
                       .set("transcriptHash", hex(th))
                       .set("prk", hex(handshake.prk.bytes()))
                       .set("trafficKeys", std::move(epochs))
                       .set("exporter", hex(exporter.bytes()))
                       .set("exported", std::move(exported)));
}

Handshake make_handshake(RandomSource& random, const std::vector<Token>& tokens,
                         const HandshakeParameters& parameters) {
  Handshake handshake;
  handshake.token = &tokens[parameters.token];
  const Token& token = *handshake.token;
  const KeyPair client = KeyPair::generate(random);
  const KeyPair server = KeyPair::generate(random);
  handshake.client_share = client.share;
  handshake.client_id =
      ConnectionId::from(random_bytes(random, parameters.id_length)).value_or(ConnectionId{});
  handshake.server_id =
      ConnectionId::from(random_bytes(random, parameters.id_length)).value_or(ConnectionId{});
  encode_request(handshake.request, token.content, client.share);
  require(parse_request(handshake.request).has_value(), "REQUEST is parsed");

  const Key cookie_key(random_array<32>(random));
  const auto cookie_time = static_cast<std::uint32_t>(random.u64());
  const auto cookie_index = static_cast<std::uint8_t>(random.below(256));
  const TagView token_tag =
      std::span<const std::byte, kSealedPrivateTokenSize>(token.content.sealed_private).last<kTagSize>();
  const CookieMac mac = cookie_mac(cookie_key, cookie_time, cookie_index, parameters.source, token_tag,
                                   client.share, server.share);
  const Buffer mac_input =
      joined({label_bytes("HAWSER 1 cookie"), little_endian(cookie_time), little_endian(cookie_index),
              parameters.source.to_bytes(), token_tag, client.share, server.share});
  require(blake2b_128(cookie_key.bytes(), {mac_input}) == mac, "the cookie's MAC is that of its input");
  const Cookie cookie = Cookie::make(cookie_time, cookie_index, mac);

  const Nonce challenge_nonce = random_array<kNonceSize>(random);
  encode_challenge(handshake.challenge, token.keys.challenge, challenge_nonce, token.id, client.share,
                   cookie.raw, server.share);
  const Buffer challenge_data = bound_data(handshake.challenge, token.id, client.share);
  const Buffer challenge_text =
      opened(token.keys.challenge, challenge_nonce, challenge_data, Bytes(handshake.challenge).subspan(25));

  const Nonce response_nonce = random_array<kNonceSize>(random);
  encode_response(handshake.response, handshake.request, cookie.raw, token.keys.response, response_nonce,
                  {parameters.offered, handshake.client_id, parameters.client.max_datagram,
                   parameters.client.credit, parameters.client.channel_credit, parameters.channels});
  const Bytes response_data = Bytes(handshake.response).first(1118);
  const Buffer response_text =
      opened(token.keys.response, response_nonce, response_data, Bytes(handshake.response).subspan(1118));

  const Key reset_key(random_array<32>(random));
  const ResetToken reset = reset_token(reset_key, handshake.server_id.view());
  const auto accept_random = random_array<32>(random);
  const Nonce accept_nonce = random_array<kNonceSize>(random);
  const Hash256 hash = response_hash(handshake.response);
  encode_accept(handshake.accept, token.keys.accept, accept_nonce, hash,
                {parameters.accepted, handshake.server_id, accept_random, reset,
                 parameters.server.max_datagram, parameters.server.credit, parameters.server.channel_credit});
  const Buffer accept_data = joined({Bytes(handshake.accept).first(25), hash});
  const Buffer accept_text =
      opened(token.keys.accept, accept_nonce, accept_data, Bytes(handshake.accept).subspan(25));

  const Nonce denied_nonce = random_array<kNonceSize>(random);
  encode_denied(handshake.denied, token.keys.denied, denied_nonce, token.id, client.share, parameters.reason);
  const Buffer denied_data = bound_data(handshake.denied, token.id, client.share);
  const Buffer denied_text =
      opened(token.keys.denied, denied_nonce, denied_data, Bytes(handshake.denied).subspan(25));

  handshake.reset.resize(kMaxResetSize);
  handshake.reset.resize(encode_reset(handshake.reset, handshake.server_id, reset));

  Secret<32> shared;
  Secret<32> shared_at_client;
  require(x25519(shared, server.secret, client.share) &&
              x25519(shared_at_client, client.secret, server.share) &&
              constant_time_equal(shared.bytes(), shared_at_client.bytes()),
          "both sides share one secret");
  handshake.prk =
      session_prk(token.content.client_to_server, token.content.server_to_client, shared, accept_random,
                  transcript(handshake.response, challenge_text, handshake.accept));

  handshake.json.set("name", parameters.name)
      .set("token", parameters.token)
      .set("clientSecret", hex(client.secret.bytes()))
      .set("clientShare", hex(client.share))
      .set("serverSecret", hex(server.secret.bytes()))
      .set("serverShare", hex(server.share))
      .set("request", hex(handshake.request))
      .set(
          "cookie",
          std::move(Json::object()
                        .set("key", hex(cookie_key.bytes()))
                        .set("time", cookie_time)
                        .set("index", std::uint32_t{cookie_index})
                        .set("source",
                             std::move(json_of(parameters.source).set("scopeId", parameters.source.scope_id)))
                        .set("address", hex(parameters.source.to_bytes()))
                        .set("macInput", hex(mac_input))
                        .set("mac", hex(mac))
                        .set("cookie", hex(cookie.raw))))
      .set("challenge", sealed_json(challenge_nonce, challenge_data, challenge_text, handshake.challenge))
      .set("response", std::move(sealed_json(response_nonce, response_data, response_text, handshake.response)
                                     .set("features", parameters.offered)
                                     .set("connectionId", hex(handshake.client_id.view()))
                                     .set("maxDatagram", std::uint32_t{parameters.client.max_datagram})
                                     .set("credit", parameters.client.credit)
                                     .set("channelCredit", parameters.client.channel_credit)
                                     .set("channels", hex(parameters.channels))))
      .set("accept", std::move(sealed_json(accept_nonce, accept_data, accept_text, handshake.accept)
                                   .set("responseHash", hex(hash))
                                   .set("features", parameters.accepted)
                                   .set("connectionId", hex(handshake.server_id.view()))
                                   .set("random", hex(accept_random))
                                   .set("resetToken", hex(reset))
                                   .set("maxDatagram", std::uint32_t{parameters.server.max_datagram})
                                   .set("credit", parameters.server.credit)
                                   .set("channelCredit", parameters.server.channel_credit)))
      .set("denied", std::move(sealed_json(denied_nonce, denied_data, denied_text, handshake.denied)
                                   .set("reason", static_cast<std::uint32_t>(parameters.reason))))
      .set("reset", std::move(Json::object()
                                  .set("resetKey", hex(reset_key.bytes()))
                                  .set("connectionId", hex(handshake.server_id.view()))
                                  .set("resetToken", hex(reset))
                                  .set("datagram", hex(handshake.reset))))
      .set("keySchedule", key_schedule(handshake, shared, accept_random, challenge_text));
  return handshake;
}

std::vector<Handshake> make_handshakes(RandomSource& random, const std::vector<Token>& tokens) {
  SocketAddress link_local =
      SocketAddress::ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 41000, 3);
  std::vector<Handshake> handshakes;
  handshakes.push_back(make_handshake(random, tokens,
                                      {"from IPv4, ids of 8 bytes, no features",
                                       0,
                                       SocketAddress::ipv4({198, 51, 100, 7}, 51234),
                                       8,
                                       0,
                                       0,
                                       DeniedReason::kServerFull,
                                       {},
                                       {},
                                       {}}));
  handshakes.push_back(
      make_handshake(random, tokens,
                     {"from link-local IPv6, ids of 16 bytes, features, greatest limits", 1, link_local, 16,
                      0x0f, 0x05, DeniedReason::kTokenUsed, Limits{kGreatestMaxDatagram, ~0U, ~0U},
                      Limits{kGreatestMaxDatagram, ~0U, ~0U}, channels_digest(kFourChannels)}));
  handshakes.push_back(make_handshake(random, tokens,
                                      {"ids of 4 bytes, a reason that has no name",
                                       2,
                                       SocketAddress::ipv4({198, 51, 100, 8}, 1),
                                       4,
                                       0,
                                       0,
                                       static_cast<DeniedReason>(4'000'000'000U),
                                       {},
                                       {},
                                       {}}));
  handshakes.push_back(make_handshake(
      random, tokens,
      {"channels, limits that differ", 0, SocketAddress::ipv4({198, 51, 100, 9}, 4000), 8, kFeatureChannels,
       kFeatureChannels, DeniedReason::kChannelsMismatch, Limits{1472, 1'048'576, 262'144},
       Limits{9000, 16'777'216, 4'194'304}, channels_digest(kDefaultChannels)}));
  return handshakes;
}

constexpr std::array<std::uint16_t, 4> kBadMaxDatagrams = {0, 1199, 65508, 65535};

Json invalid_handshake_datagrams(const Handshake& handshake, const Handshake& other, RandomSource& random) {
  Json list = Json::array();
  const Token& token = *handshake.token;
  const auto add = [&list](std::string_view kind, std::string_view name, Bytes datagram,
                           std::string_view reason) {
    list.add(std::move(Json::object()
                           .set("kind", kind)
                           .set("name", name)
                           .set("handshake", 0U)
                           .set("datagram", hex(datagram))
                           .set("reason", reason)));
  };
  const std::string_view not_authentic = "the tag does not verify";

  const auto request = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    const auto view = parse_request(datagram);
    PrivateToken out;
    require(!view.has_value() || check_token_clear(view->clear) != TokenError::kNone ||
                open_private_token(view->sealed_private, token.server_key, view->token_associated_data,
                                   view->clear.nonce, out) != TokenError::kNone,
            "a bad REQUEST is refused");
    add("request", name, datagram, reason);
  };
  const Bytes good_request(handshake.request);
  request("one byte short", Buffer(good_request.begin(), good_request.end() - 1), "the length is not 1,200");
  request("one byte long", joined({good_request, std::array{std::byte{0}}}), "the length is not 1,200");
  request("version", flipped(good_request, 8), "the version is not \\\"HAWSER 1\\\"");
  request("protocol id", flipped(good_request, 9), not_authentic);
  request("flags", patched(good_request, 21, std::uint32_t{2}), "a flag other than bit 0");
  request("times", patched(good_request, 25, std::uint64_t{1'800'000'000'000}), "create > expire");
  request("nonce", flipped(good_request, 41), not_authentic);
  request("sealed part", flipped(good_request, 65), not_authentic);

  const auto challenge = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    ChallengeBody body;
    require(!open_challenge(datagram, token.keys.challenge, token.id, handshake.client_share, body),
            "a bad CHALLENGE is refused");
    add("challenge", name, datagram, reason);
  };
  const Bytes good_challenge(handshake.challenge);
  challenge("one byte short", Buffer(good_challenge.begin(), good_challenge.end() - 1),
            "the length is not 94");
  challenge("one byte long", joined({good_challenge, std::array{std::byte{0}}}), "the length is not 94");
  challenge("nonce", flipped(good_challenge, 1), not_authentic);
  challenge("cookie", flipped(good_challenge, 25), not_authentic);
  challenge("tag", flipped(good_challenge, 93), not_authentic);
  challenge("of another token", Buffer(other.challenge.begin(), other.challenge.end()), not_authentic);
  {
    // One after the other: compilers differ in the order in which they evaluate arguments.
    const auto server_share = random_array<32>(random);
    const auto cookie = random_array<kCookieSize>(random);
    const Nonce nonce = random_array<kNonceSize>(random);
    ChallengeDatagram datagram{};
    encode_challenge(datagram, token.keys.challenge, nonce, token.id, other.client_share, cookie,
                     server_share);
    challenge("of another attempt", Buffer(datagram.begin(), datagram.end()),
              "bound to another client share: the tag does not verify");
  }

  const auto response = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    const auto view = parse_response(datagram);
    ResponseBody body;
    require(!view.has_value() || !open_response(*view, token.keys.response, body),
            "a bad RESPONSE is refused");
    add("response", name, datagram, reason);
  };
  const Bytes good_response(handshake.response);
  response("one byte short", Buffer(good_response.begin(), good_response.end() - 1),
           "the length is not 1,198");
  response("padded to 1,200", joined({good_response, std::array<std::byte, 2>{}}), "the length is not 1,198");
  response("client share", flipped(good_response, 1041), not_authentic);
  response("cookie", flipped(good_response, 1073), not_authentic);
  response("nonce", flipped(good_response, 1094), not_authentic);
  response("tag", flipped(good_response, 1197), not_authentic);
  const auto resealed_response = [&](std::uint8_t length, std::uint8_t last,
                                     std::uint16_t max_datagram = kLeastMaxDatagram) {
    std::array<std::byte, kResponsePlaintextSize> text{};
    text[4] = static_cast<std::byte>(length);
    text[20] = static_cast<std::byte>(last);
    store_little_endian(text.data() + 21, max_datagram);
    Buffer datagram(good_response.begin(), good_response.end());
    random.fill(MutableBytes(datagram).subspan(1094, 24));
    seal(MutableBytes(datagram).subspan(1118), token.keys.response, Bytes(datagram).subspan<1094, 24>(),
         Bytes(datagram).first(1118), text);
    return datagram;
  };
  response("id of 3 bytes", resealed_response(3, 0), "the length of the connection id is not 4 to 16");
  response("id of 17 bytes", resealed_response(17, 0), "the length of the connection id is not 4 to 16");
  response("id not padded with zeros", resealed_response(8, 1),
           "a byte behind the connection id is not zero");
  const std::string_view bad_size = "the longest datagram is not 1,200 to 65,507";
  for (const std::uint16_t size : kBadMaxDatagrams) {
    response("datagrams of " + std::to_string(size), resealed_response(8, 0, size), bad_size);
  }

  const auto accept = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    AcceptBody body;
    require(!open_accept(datagram, token.keys.accept, response_hash(handshake.response), body),
            "a bad ACCEPT is refused");
    add("accept", name, datagram, reason);
  };
  const Bytes good_accept(handshake.accept);
  accept("one byte short", Buffer(good_accept.begin(), good_accept.end() - 1), "the length is not 137");
  accept("one byte long", joined({good_accept, std::array{std::byte{0}}}), "the length is not 137");
  accept("nonce", flipped(good_accept, 1), not_authentic);
  accept("tag", flipped(good_accept, 136), not_authentic);
  const auto bound_accept = [&](const Hash256& hash, std::uint8_t length, std::uint8_t last,
                                std::uint16_t max_datagram = kLeastMaxDatagram) {
    std::array<std::byte, kAcceptPlaintextSize> text{};
    text[4] = static_cast<std::byte>(length);
    text[20] = static_cast<std::byte>(last);
    store_little_endian(text.data() + 69, max_datagram);
    Buffer datagram(good_accept.begin(), good_accept.end());
    random.fill(MutableBytes(datagram).subspan(1, 24));
    seal(MutableBytes(datagram).subspan(25), token.keys.accept, Bytes(datagram).subspan<1, 24>(),
         joined({Bytes(datagram).first(25), hash}), text);
    return datagram;
  };
  const Hash256 hash = response_hash(handshake.response);
  accept("of another RESPONSE", bound_accept(response_hash(other.response), 8, 0),
         "bound to another RESPONSE: the tag does not verify");
  accept("id of 3 bytes", bound_accept(hash, 3, 0), "the length of the connection id is not 4 to 16");
  accept("id of 17 bytes", bound_accept(hash, 17, 0), "the length of the connection id is not 4 to 16");
  accept("id not padded with zeros", bound_accept(hash, 8, 1), "a byte behind the connection id is not zero");
  for (const std::uint16_t size : kBadMaxDatagrams) {
    accept("datagrams of " + std::to_string(size), bound_accept(hash, 8, 0, size), bad_size);
  }

  const auto denied = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    require(!open_denied(datagram, token.keys.denied, token.id, handshake.client_share).has_value(),
            "a bad DENIED is refused");
    add("denied", name, datagram, reason);
  };
  const Bytes good_denied(handshake.denied);
  denied("one byte short", Buffer(good_denied.begin(), good_denied.end() - 1), "the length is not 45");
  denied("reason", flipped(good_denied, 25), not_authentic);
  denied("of another token", Buffer(other.denied.begin(), other.denied.end()), not_authentic);

  const auto reset = [&](std::string_view name, const Buffer& datagram, std::string_view reason) {
    require(!parse_reset(datagram).has_value(), "a bad RESET is refused");
    add("reset", name, datagram, reason);
  };
  reset("id of 3 bytes", Buffer(20, std::byte{kResetByte}), "the length is not 21 to 33");
  reset("id of 17 bytes", Buffer(34, std::byte{kResetByte}), "the length is not 21 to 33");
  return list;
}

// ---- Section 6: frames

// A payload and its meaning, written side by side.
Json message_fields(std::uint32_t channel, bool acknowledged, bool with_length, Bytes data) {
  return std::move(Json::object()
                       .set("channel", channel)
                       .set("acknowledged", acknowledged)
                       .set("withLength", with_length)
                       .set("data", hex(data)));
}

class Payload {
 public:
  Payload& padding(std::uint32_t count) {
    return put(write_padding(writer_, count), "padding", Json::object().set("count", count));
  }
  Payload& ping(std::uint16_t sequence) {
    return put(write_ping(writer_, sequence), "ping",
               Json::object().set("sequence", std::uint32_t{sequence}));
  }
  Payload& pong(std::uint16_t sequence, std::uint64_t receive_time, std::uint32_t delay) {
    return put(write_pong(writer_, sequence, receive_time, Duration(delay)), "pong",
               Json::object()
                   .set("sequence", std::uint32_t{sequence})
                   .set("receiveTime", decimal(receive_time))
                   .set("delay", delay));
  }
  Payload& ack(std::uint64_t delay, const std::vector<AckRange>& ranges) {
    return put(write_ack(writer_, Duration(delay), ranges), "ack", ack_fields(delay, ranges));
  }
  Payload& ack_ecn(std::uint64_t delay, const std::vector<AckRange>& ranges, const EcnCounts& ecn) {
    Json fields = ack_fields(delay, ranges);
    fields.set("ecn", std::move(Json::object()
                                    .set("ect0", decimal(ecn.ect0))
                                    .set("ect1", decimal(ecn.ect1))
                                    .set("ce", decimal(ecn.ce))));
    return put(write_ack_ecn(writer_, Duration(delay), ranges, ecn), "ack", fields);
  }
  Payload& disconnect(std::uint32_t code, std::uint32_t spread_ms, std::string_view reason) {
    return put(write_disconnect(writer_, {code, milliseconds(spread_ms), bytes_of(reason)}), "disconnect",
               Json::object().set("code", code).set("reconnectSpreadMs", spread_ms).set("reason", reason));
  }
  Payload& goaway(std::uint32_t reason, std::uint32_t deadline_ms, std::uint32_t spread_ms,
                  const SocketAddress* address) {
    GoawayFrame frame{reason, milliseconds(deadline_ms), milliseconds(spread_ms), address != nullptr, {}};
    if (address != nullptr) frame.address = *address;
    return put(write_goaway(writer_, frame), "goaway",
               Json::object()
                   .set("reason", reason)
                   .set("deadlineMs", deadline_ms)
                   .set("reconnectSpreadMs", spread_ms)
                   .set("address", address != nullptr ? json_of(*address) : Json::null()));
  }
  Payload& new_id(std::uint64_t sequence, const ConnectionId& id, const ResetToken& token) {
    return put(write_new_id(writer_, sequence, id, token), "newId",
               Json::object()
                   .set("sequence", decimal(sequence))
                   .set("connectionId", hex(id.view()))
                   .set("resetToken", hex(token)));
  }
  Payload& retire_id(std::uint64_t sequence) {
    return put(write_retire_id(writer_, sequence), "retireId",
               Json::object().set("sequence", decimal(sequence)));
  }
  Payload& message(std::uint32_t channel, Bytes data, bool with_length, bool acknowledged = false) {
    return put(write_message(writer_, channel, data, with_length, acknowledged), "message",
               message_fields(channel, acknowledged, with_length, data));
  }
  Payload& key_update(const KeyUpdateFrame& frame) {
    return put(write_key_update(writer_, frame, false), "keyUpdate",
               Json::object()
                   .set("epoch", frame.epoch)
                   .set("sequence", frame.sequence)
                   .set("share", hex(frame.share))
                   .set("secretId", hex(frame.secret_id))
                   .set("mac", hex(frame.mac)));
  }
  Payload& key_update_reply(const KeyUpdateFrame& frame) {
    return put(
        write_key_update(writer_, frame, true), "keyUpdateReply",
        Json::object().set("epoch", frame.epoch).set("share", hex(frame.share)).set("mac", hex(frame.mac)));
  }
  Payload& key_update_refused(std::uint32_t sequence, std::uint8_t reason) {
    return put(write_key_update_refused(writer_, {sequence, reason}), "keyUpdateRefused",
               Json::object().set("sequence", sequence).set("reason", std::uint32_t{reason}));
  }
  Payload& path_challenge(const PathData& data) {
    return put(write_path_challenge(writer_, data), "pathChallenge", Json::object().set("data", hex(data)));
  }
  Payload& path_response(const PathData& data) {
    return put(write_path_response(writer_, data), "pathResponse", Json::object().set("data", hex(data)));
  }
  Payload& credit(std::uint64_t limit) {
    return put(write_credit(writer_, limit), "credit", Json::object().set("limit", decimal(limit)));
  }
  Payload& channel_credit(std::uint32_t channel, std::uint64_t limit, std::uint64_t ahead) {
    return put(
        write_channel_credit(writer_, {channel, limit, ahead}), "channelCredit",
        Json::object().set("channel", channel).set("limit", decimal(limit)).set("ahead", decimal(ahead)));
  }
  Payload& sequenced(std::uint32_t channel, std::uint64_t number, Bytes data, bool with_length) {
    const SequencedFrame frame{channel, number, static_cast<std::uint32_t>(data.size()), 0, data};
    return put(write_sequenced(writer_, frame, with_length), "sequenced",
               data_fields(channel, number, with_length, data));
  }
  Payload& sequenced_part(const SequencedFrame& part, bool with_length) {
    return put(write_sequenced(writer_, part, with_length), "sequenced",
               data_fields(part.channel, part.number, with_length, part.data)
                   .set("total", part.total)
                   .set("offset", part.offset));
  }
  Payload& reliable(std::uint32_t channel, std::uint64_t first, const std::vector<Bytes>& messages,
                    bool with_length) {
    std::array<std::byte, kMaxSentDatagram> storage{};
    ByteWriter records(storage);
    Json list = Json::array();
    for (const Bytes message : messages) {
      records.varint(message.size());
      records.bytes(message);
      list.add(hex(message));
    }
    const Bytes run = records.written();
    const bool begun = write_reliable_header(writer_, channel, first, run.size(), with_length);
    writer_.bytes(run);
    return put(begun && records.ok() && writer_.ok(), "reliable",
               Json::object()
                   .set("channel", channel)
                   .set("first", decimal(first))
                   .set("withLength", with_length)
                   .set("messages", std::move(list)));
  }
  Payload& fragment(const FragmentFrame& part, bool with_length) {
    const bool begun = write_fragment_header(writer_, part.channel, part.number, part.total, part.offset,
                                             part.data.size(), with_length);
    writer_.bytes(part.data);
    return put(begun && writer_.ok(), "fragment",
               data_fields(part.channel, part.number, with_length, part.data)
                   .set("total", part.total)
                   .set("offset", part.offset));
  }
  Payload& expired(std::uint32_t channel, std::uint64_t number, std::uint32_t length) {
    return put(write_expired(writer_, {channel, number, length}), "expired",
               Json::object().set("channel", channel).set("number", decimal(number)).set("length", length));
  }
  Payload& mtu_probe() { return put(write_mtu_probe(writer_), "mtuProbe", Json::object()); }

  [[nodiscard]] Bytes bytes() const { return writer_.written(); }
  [[nodiscard]] Json json(std::string_view name) const {
    FrameReader reader(bytes());
    Frame frame;
    std::size_t count = 0;
    while (reader.next(frame)) ++count;
    require(!reader.failed() && count == frames_, "a payload is read to its end");
    return std::move(Json::object().set("name", name).set("payload", hex(bytes())).set("frames", list_));
  }

 private:
  Payload& put(bool written, std::string_view type, const Json& fields) {
    require(written, "a frame fits");
    if (type != "padding") ++frames_;
    list_.add(std::move(Json::object().set("type", type).set("fields", fields)));
    return *this;
  }

  static Json ack_fields(std::uint64_t delay, const std::vector<AckRange>& ranges) {
    Json list = Json::array();
    for (const AckRange& range : ranges) {
      list.add(std::move(
          Json::object().set("smallest", decimal(range.smallest)).set("largest", decimal(range.largest))));
    }
    return std::move(Json::object().set("delay", decimal(delay)).set("ranges", std::move(list)));
  }
  static Json data_fields(std::uint32_t channel, std::uint64_t number, bool with_length, Bytes data) {
    return std::move(Json::object()
                         .set("channel", channel)
                         .set("number", decimal(number))
                         .set("withLength", with_length)
                         .set("data", hex(data)));
  }

  std::array<std::byte, kMaxSentDatagram> storage_{};
  ByteWriter writer_{storage_};
  std::size_t frames_ = 0;
  Json list_ = Json::array();
};

// Of key update, path and channels.
void add_later_frames(Json& list, RandomSource& random) {
  const auto add = [&list](std::string_view name, const Payload& payload) { list.add(payload.json(name)); };
  const Buffer storage = random_bytes(random, 1100);
  const Bytes data(storage);
  const KeyUpdateFrame update{1, 7, random_array<32>(random), random_array<16>(random),
                              random_array<16>(random)};
  const KeyUpdateFrame plain{~0U, 0, random_array<32>(random), {}, random_array<16>(random)};

  add("ack with ECN counts", Payload().ack_ecn(25, {{90, 100}, {70, 80}, {5, 5}}, {1000, 0, 7}));
  add("ack with ECN counts, one range, then ping",
      Payload().ack_ecn(0, {{0, 0}}, {kVarintMax, kVarintMax, kVarintMax}).ping(1));
  add("key update with a secret", Payload().key_update(update));
  add("key update without a secret, greatest epoch", Payload().key_update(plain));
  add("key update reply", Payload().key_update_reply(plain));
  add("key update refused", Payload().key_update_refused(0x01020304, 255));
  add("path challenge", Payload().path_challenge(random_array<8>(random)));
  add("path response", Payload().path_response(random_array<8>(random)));
  add("credit", Payload().credit(1'048'576));
  add("credit, least and greatest", Payload().credit(0).credit(kVarintMax));
  add("channel credit", Payload().channel_credit(0, 64, 1).channel_credit(1023, kVarintMax, kVarintMax));
  add("sequenced to the end", Payload().sequenced(1, 300, data.first(100), false));
  add("sequenced, a part to the end", Payload().sequenced_part({1, 300, 70'000, 64, data.first(100)}, false));
  add("sequenced with length", Payload().sequenced(64, kVarintMax, data.first(100), true));
  add("sequenced, a part with length",
      Payload().sequenced_part({1023, 0, kGreatestMessageSize, kGreatestMessageSize - 100, data.first(100)},
                               true));
  add("sequenced, empty", Payload().sequenced(0, 0, {}, true).sequenced(0, 1, {}, false));
  add("reliable to the end", Payload().reliable(1, 300, {data.first(70), {}, data.first(3)}, false));
  add("reliable with length",
      Payload().reliable(1023, 70'000, {data.first(64), data.first(63), {}}, true).ping(2));
  add("reliable, one empty message of the greatest number", Payload().reliable(2, kVarintMax, {{}}, false));
  add("reliable, the last of the greatest number",
      Payload().reliable(2, kVarintMax - 1, {data.first(1), data.first(2)}, true));
  add("reliable, 17 messages of 64 bytes",
      Payload().reliable(3, 1000, std::vector<Bytes>(17, data.first(64)), false));
  add("fragment to the end", Payload().fragment({1, 300, 70'000, 0, data}, false));
  add("fragment with length, the last of its message",
      Payload().fragment({1, 300, 70'000, 69'900, data.first(100)}, true));
  add("fragment, one byte, greatest values",
      Payload().fragment({1023, kVarintMax, kGreatestMessageSize, kGreatestMessageSize - 1, data.first(1)},
                         true));
  add("fragment that is the whole message", Payload().fragment({0, 0, 100, 0, data.first(100)}, false));
  add("expired", Payload().expired(2, 300, 70'000));
  add("expired, least and greatest",
      Payload().expired(0, 0, 0).expired(1023, kVarintMax, kGreatestMessageSize));
  add("MTU probe", Payload().mtu_probe().padding(1000));
  add("channels and control in one packet", Payload()
                                                .ack_ecn(10, {{3, 9}}, {7, 0, 0})
                                                .credit(2'000'000)
                                                .channel_credit(1, 500'000, 7'812)
                                                .expired(1, 7, 40)
                                                .message(0, data.first(64), true)
                                                .sequenced(4, 9, data.first(20), true)
                                                .fragment({2, 8, 3000, 1000, data.first(200)}, true)
                                                .padding(1)
                                                .reliable(1, 8, {data.first(5), data.first(6)}, false));
}

Json valid_frames(RandomSource& random) {
  Json list = Json::array();
  const SocketAddress ipv4 = SocketAddress::ipv4({192, 0, 2, 1}, 40000);
  const SocketAddress ipv6 = ipv6_address(1, 40001);
  const auto add = [&list](std::string_view name, const Payload& payload) { list.add(payload.json(name)); };
  const auto id = [&random](std::size_t length) {
    return ConnectionId::from(random_bytes(random, length)).value_or(ConnectionId{});
  };
  const Buffer data = random_bytes(random, 100);
  const Buffer largest = random_bytes(random, kMaxMessageSize);

  add("padding only", Payload().padding(7));
  add("ping", Payload().ping(0x1234));
  add("pong", Payload().pong(0x1234, 0x0102030405060708U, 0x0a0b0c0d));
  add("pong, greatest values", Payload().pong(65535, ~std::uint64_t{0}, ~std::uint32_t{0}));
  add("ack of packet 0", Payload().ack(0, {{0, 0}}));
  add("ack, three ranges", Payload().ack(25, {{90, 100}, {70, 80}, {5, 5}}));
  add("ack down to packet 0", Payload().ack(70'000, {{4, 5}, {0, 2}}));
  std::vector<AckRange> ranges;
  for (std::uint64_t i = 0; i < kUsualAckRanges; ++i)
    ranges.push_back({100'000 - 1000 * i, 100'000 - 1000 * i + i});
  add("ack, 32 ranges", Payload().ack(1'000'000, ranges));
  add("ack, greatest values", Payload().ack(kVarintMax, {{kVarintMax, kVarintMax}, {0, 0}}));
  add("disconnect without a reason", Payload().disconnect(0, 0, ""));
  add("disconnect with the application's code", Payload().disconnect(0x10001, 5000, "caf\xc3\xa9"));
  add("disconnect, longest reason", Payload().disconnect(1, ~std::uint32_t{0}, std::string(256, 'x')));
  add("goaway", Payload().goaway(3, 5000, 0, nullptr));
  add("goaway to IPv4", Payload().goaway(3, 5000, 30'000, &ipv4));
  add("goaway to IPv6", Payload().goaway(~std::uint32_t{0}, ~std::uint32_t{0}, ~std::uint32_t{0}, &ipv6));
  add("new id of 4 bytes", Payload().new_id(1, id(4), {}));
  const auto reset_token = random_array<16>(random);
  add("new id of 16 bytes", Payload().new_id(kVarintMax, id(16), reset_token));
  add("retire id", Payload().retire_id(300));
  add("message to the end, channel 0", Payload().message(0, data, false));
  add("message to the end, channel 1023", Payload().message(1023, data, false));
  add("message with length, channel 0", Payload().message(0, data, true));
  add("message with length, channel 63", Payload().message(63, data, true));
  add("message, empty, to the end", Payload().message(0, {}, false));
  add("message, empty, with length", Payload().message(0, {}, true));
  add("message, longest", Payload().message(1023, largest, true));
  add("acknowledged message to the end, channel 0", Payload().message(0, data, false, true));
  add("acknowledged message to the end, channel 1023", Payload().message(1023, data, false, true));
  add("acknowledged message with length, channel 0", Payload().message(0, data, true, true));
  add("acknowledged message with length, channel 63", Payload().message(63, data, true, true));
  add("acknowledged message, empty, with length", Payload().message(1, {}, true, true));
  add("acknowledged message, longest", Payload().message(1023, largest, true, true));
  add("several frames", Payload()
                            .ping(1)
                            .ack(10, {{3, 9}})
                            .message(0, Bytes(data).first(64), true)
                            .message(0, Bytes(data).first(3), true)
                            .padding(2)
                            .pong(2, 1'000'000, 50)
                            .message(0, Bytes(data).first(9), false));
  add_later_frames(list, random);
  return list;
}

Json long_varint_frames() {
  Json list = Json::array();
  // Accepted, though nobody writes them: fields in longer forms than needed.
  const auto add = [&list](std::string_view name, std::initializer_list<unsigned> values, Json fields,
                           std::string_view type) {
    Buffer bytes;
    for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
    FrameReader reader(bytes);
    Frame frame;
    require(reader.next(frame) && !reader.next(frame) && !reader.failed(), "a longer form is accepted");
    Json frames = Json::array();
    frames.add(std::move(Json::object().set("type", type).set("fields", std::move(fields))));
    list.add(std::move(
        Json::object().set("name", name).set("payload", hex(bytes)).set("frames", std::move(frames))));
  };
  add("retire id 1 in two bytes", {0x08, 0x40, 0x01}, Json::object().set("sequence", "1"), "retireId");
  add("message of two bytes, length in four", {0x12, 0x80, 0, 0, 0x02, 0x68, 0x69},
      message_fields(0, false, true, bytes_of("hi")), "message");
  add("sequenced, the whole message as a part", {0x15, 0x40, 0x02, 0x05, 0x02, 0x00, 0x68, 0x69},
      Json::object()
          .set("channel", 2U)
          .set("number", "5")
          .set("withLength", false)
          .set("data", "6869")
          .set("total", 2U)
          .set("offset", 0U),
      "sequenced");
  Json messages = Json::array();
  messages.add("6869").add("");
  add("reliable, lengths of 8 and 2 bytes",
      {0x18, 0x02, 0x05, 0xc0, 0, 0, 0, 0, 0, 0, 0x02, 0x68, 0x69, 0x40, 0x00},
      Json::object()
          .set("channel", 2U)
          .set("first", "5")
          .set("withLength", false)
          .set("messages", std::move(messages)),
      "reliable");
  add("fragment, a total of 8 bytes",
      {0x1b, 0x02, 0x05, 0xc0, 0, 0, 0, 0, 0, 0, 0x09, 0x80, 0, 0, 0x01, 0x40, 0x02, 0x68, 0x69},
      Json::object()
          .set("channel", 2U)
          .set("number", "5")
          .set("withLength", true)
          .set("data", "6869")
          .set("total", 9U)
          .set("offset", 1U),
      "fragment");
  add("message on channel 0, written out", {0x11, 0x00, 0x68, 0x69},
      message_fields(0, false, false, bytes_of("hi")), "message");
  add("acknowledged message on channel 0, written out, length in two", {0x33, 0x00, 0x40, 0x02, 0x68, 0x69},
      message_fields(0, true, true, bytes_of("hi")), "message");
  return list;
}

Json invalid_frames() {
  Json list = Json::array();
  const auto add = [&list](std::string_view name, const Buffer& payload, std::string_view reason) {
    FrameReader reader(payload);
    Frame frame;
    while (reader.next(frame)) continue;
    require(reader.failed(), "a bad payload is refused");
    list.add(refused(name, "payload", payload, reason));
  };
  const auto bytes = [](std::initializer_list<unsigned> values, std::size_t zeros = 0) {
    Buffer result;
    for (const unsigned value : values) result.push_back(static_cast<std::byte>(value));
    result.resize(result.size() + zeros);
    return result;
  };
  add("empty", {}, "no frame");
  for (const unsigned type : {0x1dU, 0x1eU, 0x1fU, 0x21U, 0x2fU, 0x34U, 0x3fU, 0x40U, 0x80U, 0xffU}) {
    add("type " + std::to_string(type), bytes({type}, 32), "an unknown type");
  }
  add("unknown type after a valid frame", bytes({0x01, 0, 0, 0x21}), "an unknown type");
  add("ping cut short", bytes({0x01, 0x12}), "a field beyond the end");
  add("pong cut short", bytes({0x02}, 13), "a field beyond the end");
  add("ack without ranges", bytes({0x03, 5, 0, 1, 0}), "a field beyond the end");
  add("ack, count beyond the packet", bytes({0x03, 5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}),
      "a field beyond the end");
  add("ack, first range below 0", bytes({0x03, 5, 0, 0, 6}), "a range reaches below packet number 0");
  add("ack, gap below 0", bytes({0x03, 5, 0, 1, 0, 4, 0}), "a range reaches below packet number 0");
  add("ack, length below 0", bytes({0x03, 5, 0, 1, 0, 3, 1}), "a range reaches below packet number 0");
  add("disconnect, reason of 257 bytes", bytes({0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0x01}, 257),
      "the reason is above 256 bytes");
  add("disconnect cut short", bytes({0x05, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62}), "a field beyond the end");
  add("disconnect, spread cut short", bytes({0x05, 0, 0, 0, 0, 0, 0, 0}), "a field beyond the end");
  add("goaway, spread cut short", bytes({0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "a field beyond the end");
  add("goaway, address flag 2", bytes({0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}),
      "the address flag is neither 0 nor 1");
  add("goaway, port 0", bytes({0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 192, 0, 2, 1, 0, 0}),
      "an invalid address");
  add("goaway, address cut short", bytes({0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 192, 0}),
      "a field beyond the end");
  add("new id of 3 bytes", bytes({0x07, 1, 3, 1, 2, 3}, 16), "an id is 4 to 16 bytes");
  add("new id of 17 bytes", bytes({0x07, 1, 17}, 33), "an id is 4 to 16 bytes");
  add("new id cut short", bytes({0x07, 1, 4, 1, 2, 3, 4}, 15), "a field beyond the end");
  add("retire id cut short", bytes({0x08, 0x40}), "a field beyond the end");
  add("message on channel 1024", bytes({0x11, 0x44, 0x00}), "the channel is above 1,023");
  add("message with length on channel 1024", bytes({0x13, 0x44, 0x00, 0x00}), "the channel is above 1,023");
  add("acknowledged message on channel 1024", bytes({0x31, 0x44, 0x00}), "the channel is above 1,023");
  add("acknowledged message longer than the packet", bytes({0x33, 0, 3, 0x61, 0x62}),
      "a field beyond the end");
  add("message longer than the packet", bytes({0x12, 3, 0x61, 0x62}), "a field beyond the end");
  add("message, greatest length", bytes({0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
      "a field beyond the end");
  add("ack without ECN counts", bytes({0x04, 5, 0, 0, 0}), "a field beyond the end");
  add("ack, ECN counts cut short", bytes({0x04, 5, 0, 0, 0, 1, 2}), "a field beyond the end");
  add("ack with ECN counts, first range below 0", bytes({0x04, 5, 0, 0, 6, 1, 2, 3}),
      "a range reaches below packet number 0");
  add("key update cut short", bytes({0x09}, 67), "a field beyond the end");
  add("key update reply cut short", bytes({0x0a}, 51), "a field beyond the end");
  add("key update refused cut short", bytes({0x0b}, 4), "a field beyond the end");
  add("path challenge cut short", bytes({0x0c}, 7), "a field beyond the end");
  add("path response cut short", bytes({0x0d}, 7), "a field beyond the end");
  add("credit cut short", bytes({0x0e, 0x40}), "a field beyond the end");
  add("channel credit cut short", bytes({0x0f, 1}), "a field beyond the end");
  add("channel credit of channel 1024", bytes({0x0f, 0x44, 0x00, 1}), "the channel is above 1,023");

  const std::string_view high_channel = "the channel is above 1,023";
  add("sequenced on channel 1024", bytes({0x14, 0x44, 0x00, 0, 0x61}), high_channel);
  add("sequenced part on channel 1024", bytes({0x17, 0x44, 0x00, 0, 2, 0, 1, 0x61}), high_channel);
  add("sequenced longer than the packet", bytes({0x16, 0, 0, 2, 0x61}), "a field beyond the end");
  add("sequenced without a number", bytes({0x14, 0}), "a field beyond the end");
  add("reliable on channel 1024", bytes({0x18, 0x44, 0x00, 0, 1, 0x61}), high_channel);
  add("reliable without a message", bytes({0x18, 0, 0}), "no message");
  add("reliable of size 0", bytes({0x19, 0, 0, 0}), "no message");
  add("reliable longer than the packet", bytes({0x19, 0, 0, 3, 1, 0x61}), "a field beyond the end");
  add("reliable, a message beyond the frame", bytes({0x19, 0, 0, 2, 2, 0x61, 0x00}),
      "a message ends beyond its frame");
  add("reliable, a length cut by the end of the frame", bytes({0x19, 0, 0, 3, 1, 0x61, 0x40, 0x00}),
      "a message ends beyond its frame");
  add("reliable, greatest length", bytes({0x18, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61}),
      "a message ends beyond its frame");
  add("reliable, the second message has number 2^62",
      bytes({0x18, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0}), "a number of 2^62");
  add("fragment on channel 1024", bytes({0x1a, 0x44, 0x00, 0, 2, 0, 0x61}), high_channel);
  add("fragment longer than the packet", bytes({0x1b, 0, 0, 9, 0, 2, 0x61}), "a field beyond the end");
  for (const unsigned type : {0x15U, 0x1aU}) {
    const std::string kind = type == 0x15 ? "sequenced" : "fragment";
    add(kind + ", empty part to the end", bytes({type, 0, 0, 9, 0}), "an empty part");
    add(kind + ", empty part of an empty message", bytes({type, 0, 0, 0, 0}), "an empty part");
    add(kind + ", part beyond its message", bytes({type, 0, 0, 2, 1, 0x61, 0x62}),
        "a part beyond its message");
    add(kind + ", offset at the end", bytes({type, 0, 0, 2, 2, 0x61}), "a part beyond its message");
    add(kind + ", greatest offset",
        bytes({type, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61}),
        "a part beyond its message");
    add(kind + " of a message above 16 MiB", bytes({type, 0, 0, 0x81, 0, 0, 1, 0, 0x61}),
        "a message above 16,777,216 bytes");
    add(kind + " of a message of 2^32 + 1 bytes", bytes({type, 0, 0, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0x61}),
        "a message above 16,777,216 bytes");
  }
  add("sequenced, empty part with length", bytes({0x17, 0, 0, 9, 0, 0}), "an empty part");
  add("fragment, empty part with length", bytes({0x1b, 0, 0, 9, 0, 0}), "an empty part");
  add("expired on channel 1024", bytes({0x1c, 0x44, 0x00, 0, 0}), high_channel);
  add("expired cut short", bytes({0x1c, 0, 0}), "a field beyond the end");
  add("expired of a message above 16 MiB", bytes({0x1c, 0, 0, 0x81, 0, 0, 1}),
      "a message above 16,777,216 bytes");
  return list;
}

// ---- Section 5: session packets

struct SessionPacket {
  std::string_view name;
  std::uint32_t handshake = 0;
  Direction direction = Direction::kClientToServer;
  std::uint32_t epoch = 0;
  std::uint64_t packet_number = 0;
};

const ConnectionId& destination(const Handshake& handshake, Direction direction) {
  return direction == Direction::kClientToServer ? handshake.server_id : handshake.client_id;
}

Buffer seal_packet(const Handshake& handshake, const SessionPacket& packet, Bytes frames) {
  const ConnectionId& id = destination(handshake, packet.direction);
  Buffer datagram(session_header_size(id.length) + frames.size() + kTagSize);
  const std::size_t header = encode_session_header(datagram, packet.epoch, id, packet.packet_number);
  std::copy(frames.begin(), frames.end(), datagram.begin() + static_cast<std::ptrdiff_t>(header));
  packet_key(handshake.prk, packet.direction, packet.epoch)
      .seal_in_place(packet.packet_number, Bytes(datagram).first(header),
                     MutableBytes(datagram).subspan(header));
  return datagram;
}

Json valid_packets(const std::vector<Handshake>& handshakes, RandomSource& random) {
  using enum Direction;
  Json list = Json::array();
  const auto add = [&](const SessionPacket& packet, const Payload& payload) {
    const Handshake& handshake = handshakes[packet.handshake];
    const Buffer datagram = seal_packet(handshake, packet, payload.bytes());
    const Key key = traffic_key(handshake.prk, packet.direction, packet.epoch);
    const Salt salt = traffic_salt(handshake.prk, packet.direction, packet.epoch);
    const Buffer nonce = joined({salt, little_endian(packet.packet_number)});
    const auto header = decode_session_header(datagram, destination(handshake, packet.direction).length);
    require(header.has_value() && datagram.size() <= kMaxSentDatagram, "a session packet is decoded");
    const Buffer plaintext =
        opened(key, NonceView(nonce.data(), kNonceSize), Bytes(datagram).first(header->size),
               Bytes(datagram).subspan(header->size));
    require(std::ranges::equal(plaintext, payload.bytes()), "a session packet holds its frames");
    list.add(std::move(Json::object()
                           .set("name", packet.name)
                           .set("handshake", packet.handshake)
                           .set("direction", static_cast<std::uint32_t>(packet.direction))
                           .set("epoch", packet.epoch)
                           .set("connectionId", hex(header->connection_id))
                           .set("packetNumber", decimal(packet.packet_number))
                           .set("key", hex(key.bytes()))
                           .set("salt", hex(salt))
                           .set("nonce", hex(nonce))
                           .set("header", hex(Bytes(datagram).first(header->size)))
                           .set("payload", hex(payload.bytes()))
                           .set("datagram", hex(datagram))));
  };
  add({"the client's first packet", 0, kClientToServer, 0, 0}, Payload().ping(0));
  add({"the server's first packet", 0, kServerToClient, 0, 0}, Payload().pong(0, 1'000'000, 12).ping(0));
  add({"messages, ids of 16 bytes", 1, kClientToServer, 0, 4711},
      Payload().message(0, random_bytes(random, 64), true).message(0, random_bytes(random, 64), false));
  add({"ids of 4 bytes", 2, kServerToClient, 0, 255}, Payload().message(0, random_bytes(random, 5), false));
  add({"one byte of frames", 0, kClientToServer, 0, 1}, Payload().padding(1));
  add({"as large as it may be", 1, kServerToClient, 0, 77},
      Payload().message(1023, random_bytes(random, kMaxMessageSize), true));
  add({"number 2^32 - 1", 0, kClientToServer, 0, 0xffffffffU}, Payload().ping(1));
  add({"number 2^32: the low bits are those of number 0", 0, kClientToServer, 0, 0x100000000U},
      Payload().ping(2));
  add({"number beyond 2^32", 0, kServerToClient, 0, 0x123456789abcdefU}, Payload().ping(3));
  add({"epoch 1", 0, kClientToServer, 1, 1000}, Payload().ping(4));
  add({"epoch 5: the low two bits are those of 1", 0, kServerToClient, 5, 2000}, Payload().ping(5));
  return list;
}

Json invalid_packets(const std::vector<Handshake>& handshakes) {
  using enum Direction;
  Json list = Json::array();
  const Handshake& handshake = handshakes[0];
  const SessionPacket packet{"", 0, kClientToServer, 0, 9};
  const Buffer good = seal_packet(handshake, packet, Payload().ping(9).bytes());
  const auto add = [&](std::string_view name, Direction direction, std::uint32_t epoch,
                       std::uint64_t packet_number, const Buffer& datagram, std::string_view reason) {
    const std::size_t id_length = destination(handshake, direction).length;
    const auto header = decode_session_header(datagram, id_length);
    if (header) {
      Buffer copy = datagram;
      require(!packet_key(handshake.prk, direction, epoch)
                   .open_in_place(packet_number, Bytes(datagram).first(header->size),
                                  MutableBytes(copy).subspan(header->size)),
              "a bad session packet is refused");
    }
    list.add(std::move(Json::object()
                           .set("name", name)
                           .set("handshake", 0U)
                           .set("direction", static_cast<std::uint32_t>(direction))
                           .set("epoch", epoch)
                           .set("connectionIdLength", static_cast<std::uint32_t>(id_length))
                           .set("packetNumber", decimal(packet_number))
                           .set("datagram", hex(datagram))
                           .set("reason", reason)));
  };
  const std::string_view not_authentic = "the tag does not verify";
  add("no ciphertext", kClientToServer, 0, 9, Buffer(good.begin(), good.begin() + 29),
      "shorter than header, one byte and tag");
  add("reserved bit 0", kClientToServer, 0, 9, patched(good, 0, std::uint8_t{0xb1}),
      "the low two bits are not 0");
  add("reserved bit 1", kClientToServer, 0, 9, patched(good, 0, std::uint8_t{0xb2}),
      "the low two bits are not 0");
  add("not a session packet", kClientToServer, 0, 9, patched(good, 0, std::uint8_t{0x30}),
      "the first byte is not HAWSER's");
  add("epoch bits changed", kClientToServer, 0, 9, patched(good, 0, std::uint8_t{0xb4}), not_authentic);
  add("connection id changed", kClientToServer, 0, 9, flipped(good, 1), not_authentic);
  add("number changed", kClientToServer, 0, 8, flipped(good, 9), not_authentic);
  add("ciphertext changed", kClientToServer, 0, 9, flipped(good, 13), not_authentic);
  add("tag changed", kClientToServer, 0, 9, flipped(good, good.size() - 1), not_authentic);
  add("cut short", kClientToServer, 0, 9, Buffer(good.begin(), good.end() - 1), not_authentic);
  add("one byte more", kClientToServer, 0, 9, joined({good, std::array{std::byte{0}}}), not_authentic);
  add("reflected", kServerToClient, 0, 9, good, "sealed in the other direction: the tag does not verify");
  add("another epoch", kClientToServer, 4, 9, good, "sealed in epoch 0: the tag does not verify");
  add("the upper half of the number", kClientToServer, 0, (std::uint64_t{1} << 32U) + 9, good,
      "the nonce holds all 64 bits: the tag does not verify");
  return list;
}

Json packet_numbers() {
  Json list = Json::array();
  const auto add = [&list](std::uint64_t expected, std::uint32_t truncated) {
    list.add(std::move(Json::object()
                           .set("expected", decimal(expected))
                           .set("truncated", truncated)
                           .set("packetNumber", decimal(expand_packet_number(expected, truncated)))));
  };
  add(0, 0);
  add(0, 0xffffffffU);
  add(1, 0);
  add(5, 4);
  add(0xffffffffU, 0);
  add(0x100000000U, 0xffffffffU);
  add(0x100000000U, 0);
  add(0x17fffffffU, 0);
  add(0x180000000U, 0);
  add(0x180000001U, 0);
  add(0x17fffffffU, 0xffffffffU);
  add(0x123456789abcdefU, 0x89abcdf0U);
  add(0x123456789abcdefU, 0x09abcdefU);
  add(0x123456789abcdefU, 0x09abcdf0U);
  add(0x123456789abcdefU, 0x09abcdeeU);
  add(~std::uint64_t{0}, 0xffffffffU);
  add(~std::uint64_t{0}, 0);
  return list;
}

std::string document() {
  // Each group has a generator of its own, so that a change in one leaves the others' bytes alone.
  SeededRandom token_random(1);
  SeededRandom handshake_random(2);
  SeededRandom packet_random(3);
  SeededRandom frame_random(4);
  SeededRandom invalid_random(5);
  const std::vector<Token> tokens = make_tokens(token_random);
  const std::vector<Handshake> handshakes = make_handshakes(handshake_random, tokens);

  Json valid_tokens = Json::array();
  for (const Token& token : tokens) valid_tokens.add(token.json);
  Json valid_handshakes = Json::array();
  for (const Handshake& handshake : handshakes) valid_handshakes.add(handshake.json);

  const Json root = std::move(
      Json::object()
          .set("protocol", kProtocolVersion)
          .set("about",
               "Worked examples of docs/protocol.md, printed by native/tools/protocol_vectors.cpp. Bytes are "
               "lower-case "
               "hexadecimal, u64 and varint values decimal strings. What is listed as invalid must be "
               "refused, for the "
               "reason given. 'token' and 'handshake' are positions in tokens.valid and handshakes.valid.")
          .set("varints", varints())
          .set("addresses", addresses())
          .set("channels", channel_digests())
          .set("tokens",
               std::move(Json::object()
                             .set("valid", std::move(valid_tokens))
                             .set("invalidPublic", invalid_public_tokens(tokens[0]))
                             .set("invalidPrivate", invalid_private_tokens(tokens[0], invalid_random))))
          .set("handshakes",
               std::move(Json::object()
                             .set("valid", std::move(valid_handshakes))
                             .set("invalid",
                                  invalid_handshake_datagrams(handshakes[0], handshakes[1], invalid_random))))
          .set("sessionPackets", std::move(Json::object()
                                               .set("valid", valid_packets(handshakes, packet_random))
                                               .set("invalid", invalid_packets(handshakes))))
          .set("packetNumbers", packet_numbers())
          .set("frames", std::move(Json::object()
                                       .set("valid", valid_frames(frame_random))
                                       .set("validNotShortest", long_varint_frames())
                                       .set("invalid", invalid_frames()))));
  std::string text;
  root.print(text, 0);
  text += '\n';
  return text;
}

int run(std::span<char* const> arguments) {
  if (!initialise()) {
    std::cerr << "protocol_vectors: libsodium does not start\n";
    return 1;
  }
  const std::string text = document();
  if (arguments.empty()) {
    std::cout << text << std::flush;
    return std::cout.good() ? 0 : 1;
  }
  if (arguments.size() != 2 || std::string_view(arguments[0]) != "--check") {
    std::cerr << "usage: protocol_vectors [--check FILE]\n";
    return 2;
  }
  std::ifstream file(arguments[1], std::ios::binary);
  const std::string found{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.is_open() && found == text) return 0;
  std::cerr << "protocol_vectors: " << arguments[1]
            << " is not what this program prints; write it anew with `protocol_vectors > " << arguments[1]
            << "`\n";
  return 1;
}

}  // namespace
}  // namespace hawser

int main(int argc, char** argv) {
  return hawser::run(std::span<char* const>(argv + 1, argc > 0 ? static_cast<std::size_t>(argc) - 1 : 0));
}
