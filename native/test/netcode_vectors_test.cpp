// Every vector of test/vectors/netcode.json, both ways: what the reference implementation made is opened
// here, and what is sealed here is what it made.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "json_reader.hpp"
#include "wire/netcode_packets.hpp"
#include "wire/netcode_token.hpp"
#include "wire_support.hpp"

namespace hawser::netcode {
namespace {

using test::Buffer;
using test::from_hex;
using test::Json;
using test::to_hex;

template <std::size_t N>
std::array<std::byte, N> array_of(const Json& hex) {
  const Buffer bytes = from_hex(hex.text());
  REQUIRE(bytes.size() == N);
  std::array<std::byte, N> result{};
  std::ranges::copy(bytes, result.begin());
  return result;
}

Key key_of(const Json& hex) {
  const auto bytes = array_of<32>(hex);
  return Key(bytes);
}

// a.b.c.d:port, the only kind of address in the file.
SocketAddress address_of(const std::string& text) {
  std::array<std::uint8_t, 4> octets{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    octets[i] = static_cast<std::uint8_t>(std::stoul(text.substr(at)));
    at = text.find_first_of(".:", at) + 1;
    REQUIRE(text[at - 1] == (i < 3 ? '.' : ':'));
  }
  return SocketAddress::ipv4(octets, static_cast<std::uint16_t>(std::stoul(text.substr(at))));
}

// Gives out given bytes.
class ScriptedRandom final : public RandomSource {
 public:
  explicit ScriptedRandom(Buffer bytes) : bytes_(std::move(bytes)) {}
  void fill(MutableBytes out) override {
    REQUIRE(out.size() <= bytes_.size() - used_);
    std::ranges::copy(Bytes(bytes_).subspan(used_, out.size()), out.begin());
    used_ += out.size();
  }
  [[nodiscard]] bool used_up() const { return used_ == bytes_.size(); }

 private:
  Buffer bytes_;
  std::size_t used_ = 0;
};

struct Vectors {
  Json file = Json::read_vectors("netcode.json");
  const Json& inputs = file["inputs"];
  std::uint64_t protocol_id = inputs["protocol_id"].number();
  Key private_key = key_of(inputs["private_key"]);
  Key client_to_server = key_of(inputs["client_to_server_key"]);
  Key server_to_client = key_of(inputs["server_to_client_key"]);
  PacketKey challenge_key = PacketKey::of(key_of(inputs["challenge_key"]));
  Nonce nonce = array_of<kNonceSize>(inputs["connect_token_nonce"]);
  UserData user_data = array_of<kUserDataSize>(inputs["user_data"]);

  [[nodiscard]] const Json& named(const std::string& name) const {
    for (const Json& vector : file["vectors"].elements()) {
      if (vector["name"].text() == name) return vector;
    }
    FAIL("no vector is named " << name);
    return file;
  }
};

void check_keys(const Vectors& vectors, const Key& client_to_server, const Key& server_to_client) {
  CHECK(std::ranges::equal(client_to_server.bytes(), vectors.client_to_server.bytes()));
  CHECK(std::ranges::equal(server_to_client.bytes(), vectors.server_to_client.bytes()));
}

void check_private(const Vectors& vectors, const Json& vector, const PrivateToken& token,
                   const AddressList& addresses) {
  CHECK(token.client_id == vector["client_id"].number());
  CHECK(token.timeout_seconds == static_cast<std::int32_t>(vector["timeout"].number()));
  CHECK(token.addresses == addresses);
  CHECK(token.user_data == vectors.user_data);
  check_keys(vectors, token.client_to_server, token.server_to_client);
}

void check_token(const Vectors& vectors, const Json& vector) {
  AddressList addresses;
  for (const Json& address : vector["addresses"].elements())
    REQUIRE(addresses.add(address_of(address.text())));
  const std::uint64_t expire = vector["expire_timestamp"].number();

  const auto bytes = array_of<kTokenSize>(vector["token"]);
  CHECK(is_token(bytes));
  const auto token = decode_public_token(bytes);
  REQUIRE(token.has_value());
  CHECK(token->protocol_id == vectors.protocol_id);
  CHECK(token->create == vector["create_timestamp"].number());
  CHECK(token->expire == expire);
  CHECK(token->timeout_seconds == static_cast<std::int32_t>(vector["timeout"].number()));
  CHECK(token->nonce == vectors.nonce);
  CHECK(to_hex(token->sealed_private) == vector["private_encrypted"].text());
  CHECK(token->addresses == addresses);
  check_keys(vectors, token->client_to_server, token->server_to_client);
  std::array<std::byte, kTokenSize> public_again{};
  REQUIRE(encode_public_token(public_again, *token) == TokenError::kNone);
  CHECK(to_hex(public_again) == vector["token"].text());

  PrivateToken secret;
  REQUIRE(open_private_token(token->sealed_private, vectors.private_key, vectors.protocol_id, expire,
                             vectors.nonce, secret) == TokenError::kNone);
  check_private(vectors, vector, secret, addresses);
  PrivateToken plain;
  REQUIRE(decode_private_token(array_of<kPrivateTokenSize>(vector["private_plain"]), plain) ==
          TokenError::kNone);
  check_private(vectors, vector, plain, addresses);
  std::array<std::byte, kPrivateTokenSize> plain_again{};
  REQUIRE(encode_private_token(plain_again, secret) == TokenError::kNone);
  CHECK(to_hex(plain_again) == vector["private_plain"].text());
  SealedPrivateToken sealed_again{};
  REQUIRE(seal_private_token(sealed_again, secret, vectors.private_key, vectors.protocol_id, expire,
                             vectors.nonce) == TokenError::kNone);
  CHECK(to_hex(sealed_again) == vector["private_encrypted"].text());

  Buffer drawn;
  for (const char* name : {"connect_token_nonce", "client_to_server_key", "server_to_client_key"}) {
    const Buffer part = from_hex(vectors.inputs[name].text());
    drawn.insert(drawn.end(), part.begin(), part.end());
  }
  ScriptedRandom random(drawn);
  TokenParameters parameters;
  parameters.protocol_id = vectors.protocol_id;
  parameters.create = vector["create_timestamp"].number();
  parameters.expire = expire;
  parameters.client_id = vector["client_id"].number();
  parameters.timeout_seconds = static_cast<std::int32_t>(vector["timeout"].number());
  parameters.addresses = addresses.view();
  parameters.user_data = vectors.user_data;
  std::array<std::byte, kTokenSize> minted{};
  REQUIRE(mint_token(minted, parameters, vectors.private_key, random) == TokenError::kNone);
  CHECK(to_hex(minted) == vector["token"].text());
  CHECK(random.used_up());
}

void check_request(const Vectors& vectors, const Json& vector) {
  const Json& token_vector = vectors.named(vector["uses_token"].text());
  const auto token = decode_public_token(from_hex(token_vector["token"].text()));
  REQUIRE(token.has_value());
  std::array<std::byte, kRequestSize> encoded{};
  encode_request(encoded, *token);
  CHECK(to_hex(encoded) == vector["wire"].text());

  const Buffer datagram = from_hex(vector["wire"].text());
  CHECK(to_hex(Bytes(datagram).subspan(1)) == vector["plain"].text());
  const auto request = parse_request(datagram);
  REQUIRE(request.has_value());
  CHECK(request->protocol_id == vectors.protocol_id);
  CHECK(request->expire == token->expire);
  PrivateToken secret;
  REQUIRE(open_private_token(request->sealed_private, vectors.private_key, request->protocol_id,
                             request->expire, request->nonce, secret) == TokenError::kNone);
  check_private(vectors, token_vector, secret, token->addresses);
}

void check_challenge(const Vectors& vectors, const Json& vector, Bytes body) {
  REQUIRE(body.size() == kChallengeBodySize);
  const ChallengeBody decoded = decode_challenge(body.first<kChallengeBodySize>());
  CHECK(decoded.sequence == vector["token_sequence"].number());
  ChallengeToken token;
  REQUIRE(open_challenge_token(decoded.token, vectors.challenge_key, decoded.sequence, token));
  CHECK(token.client_id == vector["client_id"].number());
  CHECK(token.user_data == vectors.user_data);

  ChallengeBody again{decoded.sequence, {}};
  seal_challenge_token(again.token, token, vectors.challenge_key, again.sequence);
  std::array<std::byte, kChallengeBodySize> encoded{};
  encode_challenge(encoded, again);
  CHECK(to_hex(encoded) == to_hex(body));
}

void check_keep_alive(const Json& vector, Bytes body) {
  REQUIRE(body.size() == kKeepAliveBodySize);
  const KeepAliveBody decoded = decode_keep_alive(body.first<kKeepAliveBodySize>());
  CHECK(decoded.client_index == vector["client_index"].number());
  CHECK(decoded.max_clients == vector["max_clients"].number());
  CHECK(to_hex(encode_keep_alive(decoded)) == to_hex(body));
}

// (i * 13 + 5) modulo 256.
void check_payload(Bytes body) {
  for (std::size_t i = 0; i < body.size(); ++i) REQUIRE(body[i] == static_cast<std::byte>(i * 13 + 5));
}

void check_packet(const Vectors& vectors, const Json& vector) {
  const bool to_server = vector["direction"].text() == "c2s";
  const PacketKey key = PacketKey::of(to_server ? vectors.client_to_server : vectors.server_to_client);
  const AssociatedData associated_data(vectors.protocol_id);
  Buffer datagram = from_hex(vector["wire"].text());
  CHECK(datagram.size() == vector["size"].number());

  const auto header = parse_header(datagram, to_server ? kTypesToServer : kTypesToClient);
  REQUIRE(header.has_value());
  CHECK(static_cast<unsigned>(header->type) == vector["type"].number());
  CHECK(header->sequence == vector["sequence"].number());
  const auto body = open_packet(datagram, *header, key, associated_data);
  REQUIRE(body.has_value());
  CHECK(to_hex(*body) == vector["plain"].text());
  CHECK(is_body_size(header->type, body->size()));
  switch (header->type) {
    case PacketType::kChallenge:
    case PacketType::kResponse:
      check_challenge(vectors, vector, *body);
      break;
    case PacketType::kKeepAlive:
      check_keep_alive(vector, *body);
      break;
    case PacketType::kPayload:
      check_payload(*body);
      break;
    default:
      break;
  }

  Buffer sealed(kMaxHeaderSize + body->size() + kTagSize);
  sealed.resize(seal_packet(sealed, header->type, header->sequence, *body, key, associated_data));
  CHECK(to_hex(sealed) == vector["wire"].text());
}

TEST_CASE("netcode vectors: each is opened, and made again byte for byte") {
  const Vectors vectors;
  CHECK(to_hex(kVersionInfo) == vectors.inputs["version_info"].text());
  unsigned types = 0;
  unsigned tokens = 0;
  for (const Json& vector : vectors.file["vectors"].elements()) {
    CAPTURE(vector["name"].text());
    if (vector["kind"].text() == "connect_token") {
      check_token(vectors, vector);
      ++tokens;
      continue;
    }
    REQUIRE(vector["kind"].text() == "packet");
    if (vector["type"].number() == 0) {
      check_request(vectors, vector);
    } else {
      check_packet(vectors, vector);
    }
    types |= 1U << vector["type"].number();
  }
  CHECK(tokens > 0);
  CHECK(types == (1U << kPacketTypes) - 1);
}

}  // namespace
}  // namespace hawser::netcode
