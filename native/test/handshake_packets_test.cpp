#include "wire/handshake_packets.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "allocation_counter.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::random_array;
using test::random_bytes;
using test::random_connection_id;
using test::random_key;
using test::to_hex;

// One whole handshake, each datagram as its sender builds it.
struct Handshake {
  test::MintedToken minted;
  HandshakeKeys keys;
  TokenId token{};
  Share client_share{};
  Share server_share{};
  Cookie cookie;
  ResponseBody response_body;
  AcceptBody accept_body;
  RequestDatagram request{};
  ChallengeDatagram challenge{};
  ResponseDatagram response{};
  AcceptDatagram accept{};
  DeniedDatagram denied{};
};

std::uint16_t random_max_datagram(RandomSource& random) {
  return static_cast<std::uint16_t>(kLeastMaxDatagram +
                                    random.below(kGreatestMaxDatagram - kLeastMaxDatagram + 1));
}

void make_handshake(RandomSource& random, Handshake& out) {
  test::make_minted_token(random, out.minted);
  out.keys = HandshakeKeys::from(out.minted.token.client_to_server, out.minted.token.server_to_client);
  out.token = token_id(out.minted.token.sealed_private);
  out.client_share = random_array<kShareSize>(random);
  out.server_share = random_array<kShareSize>(random);
  out.cookie =
      Cookie::make(random.below(~0U), static_cast<std::uint8_t>(random.below(256)), random_array<16>(random));
  out.response_body = {random.below(~0U),           random_connection_id(random),
                       random_max_datagram(random), random.below(~0U),
                       random.below(~0U),           random_array<16>(random)};
  out.accept_body = {random.below(~0U),        random_connection_id(random), random_array<32>(random),
                     random_array<16>(random), random_max_datagram(random),  random.below(~0U),
                     random.below(~0U)};
  encode_request(out.request, out.minted.token, out.client_share);
  encode_challenge(out.challenge, out.keys.challenge, random_array<24>(random), out.token, out.client_share,
                   out.cookie.raw, out.server_share);
  encode_response(out.response, out.request, out.cookie.raw, out.keys.response, random_array<24>(random),
                  out.response_body);
  encode_accept(out.accept, out.keys.accept, random_array<24>(random), response_hash(out.response),
                out.accept_body);
  encode_denied(out.denied, out.keys.denied, random_array<24>(random), out.token, out.client_share,
                DeniedReason::kTokenUsed);
}

bool challenge_opens(const Handshake& handshake, Bytes datagram) {
  ChallengeBody body;
  return open_challenge(datagram, handshake.keys.challenge, handshake.token, handshake.client_share, body);
}

bool response_opens(const Handshake& handshake, Bytes datagram) {
  const auto view = parse_response(datagram);
  ResponseBody body;
  return view.has_value() && open_response(*view, handshake.keys.response, body);
}

bool accept_opens(const Handshake& handshake, Bytes datagram) {
  AcceptBody body;
  return open_accept(datagram, handshake.keys.accept, response_hash(handshake.response), body);
}

bool denied_opens(const Handshake& handshake, Bytes datagram) {
  return open_denied(datagram, handshake.keys.denied, handshake.token, handshake.client_share).has_value();
}

void check_only_exact(Bytes datagram, const std::function<bool(Bytes)>& opens) {
  REQUIRE(opens(datagram));
  for (std::size_t bit = 0; bit < datagram.size() * 8; ++bit) {
    Buffer flipped(datagram.begin(), datagram.end());
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK_FALSE(opens(flipped));
  }
  for (std::size_t size = 0; size < datagram.size(); ++size) CHECK_FALSE(opens(datagram.first(size)));
  Buffer longer(datagram.begin(), datagram.end());
  longer.push_back(std::byte{0});
  CHECK_FALSE(opens(longer));
}

TEST_CASE("handshake: every first byte is classified as the page says") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    DatagramKind expected = DatagramKind::kUnknown;
    if (byte == 0xA0) expected = DatagramKind::kRequest;
    if (byte == 0xA1) expected = DatagramKind::kChallenge;
    if (byte == 0xA2) expected = DatagramKind::kResponse;
    if (byte == 0xA3) expected = DatagramKind::kAccept;
    if (byte == 0xA4) expected = DatagramKind::kDenied;
    if (byte == 0xA5) expected = DatagramKind::kReset;
    if (byte == 0xB0 || byte == 0xB4 || byte == 0xB8 || byte == 0xBC) expected = DatagramKind::kSession;
    CHECK(classify(static_cast<std::uint8_t>(byte)) == expected);
    if (expected != DatagramKind::kUnknown) CHECK((byte & 0xE0U) == 0xA0U);
  }
}

TEST_CASE("handshake: sizes are those of the page, none above 1,200 bytes") {
  CHECK(kRequestSize == 1200);
  CHECK(kChallengeSize == 94);
  CHECK(kResponseSize == 1198);
  CHECK(kAcceptSize == 137);
  CHECK(kDeniedSize == 45);
  CHECK(kMinResetSize == 21);
  CHECK(kMaxResetSize == 33);
}

TEST_CASE("handshake: at maximum content every datagram has its size still") {
  SeededRandom random(20);
  test::TokenSample sample;
  for (std::size_t i = 0; i < kMaxTokenAddresses; ++i) {
    sample.addresses.push_back(test::random_ipv6_address(random));
  }
  sample.user_data = random_bytes(random, 256);
  sample.parameters.timeout = kMaxTokenTimeout;
  sample.parameters.addresses = sample.addresses;
  sample.parameters.user_data = sample.user_data;
  Buffer bytes(kMaxTokenSize);
  const Key server_key = random_key(random);
  REQUIRE(*mint_token(bytes, sample.parameters, server_key, random) == kMaxTokenSize);
  const auto token = decode_public_token(bytes);
  REQUIRE(token.has_value());

  RequestDatagram request{};
  encode_request(request, *token, random_array<kShareSize>(random));
  const auto view = parse_request(request);
  REQUIRE(view.has_value());
  PrivateToken opened;
  CHECK(open_private_token(view->sealed_private, server_key, view->token_associated_data, view->clear.nonce,
                           opened) == TokenError::kNone);
  CHECK(opened.addresses == token->addresses);
  CHECK(opened.user_data_size == 256);

  ConnectionId longest = ConnectionId::from(random_bytes(random, ConnectionId::kMax)).value();
  ResponseDatagram response{};
  encode_response(response, request, random_array<kCookieSize>(random), random_key(random),
                  random_array<24>(random),
                  {~0U, longest, kGreatestMaxDatagram, ~0U, ~0U, random_array<16>(random)});
  CHECK(response.size() <= 1200);
  std::array<std::byte, kMaxResetSize> reset{};
  CHECK(encode_reset(reset, longest, random_array<16>(random)) == 33);
}

TEST_CASE("handshake: every field of REQUEST and RESPONSE stands where the page puts it") {
  SeededRandom random(21);
  Handshake handshake;
  make_handshake(random, handshake);
  const Bytes request(handshake.request);
  const Bytes token(handshake.minted.bytes);
  CHECK(request[0] == std::byte{0xA0});
  CHECK(to_hex(request.subspan(1, 1040)) == to_hex(token.first(1040)));
  CHECK(to_hex(request.subspan(1041, 32)) == to_hex(handshake.client_share));
  CHECK(all_zero(request.subspan(1073)));

  const Bytes response(handshake.response);
  CHECK(response[0] == std::byte{0xA2});
  CHECK(to_hex(response.subspan(1, 1072)) == to_hex(request.subspan(1, 1072)));
  CHECK(to_hex(response.subspan(1073, 21)) == to_hex(handshake.cookie.raw));
  std::array<std::byte, 64> plaintext{};
  REQUIRE(open(plaintext, handshake.keys.response, response.subspan<1094, 24>(), response.first(1118),
               response.subspan(1118)));
  CHECK(load_little_endian<std::uint32_t>(plaintext.data()) == handshake.response_body.features);
  CHECK(plaintext[4] == std::byte{handshake.response_body.connection_id.length});
  CHECK(to_hex(Bytes(plaintext).subspan(5, 16)) == to_hex(handshake.response_body.connection_id.bytes));
  CHECK(load_little_endian<std::uint16_t>(plaintext.data() + 21) == handshake.response_body.max_datagram);
  CHECK(load_little_endian<std::uint32_t>(plaintext.data() + 23) == handshake.response_body.credit);
  CHECK(load_little_endian<std::uint32_t>(plaintext.data() + 27) == handshake.response_body.channel_credit);
  CHECK(to_hex(Bytes(plaintext).subspan(31, 16)) == to_hex(handshake.response_body.channels));
  CHECK(all_zero(Bytes(plaintext).subspan(47)));
}

TEST_CASE("handshake: CHALLENGE, ACCEPT and DENIED are sealed over what the page names") {
  SeededRandom random(22);
  Handshake handshake;
  make_handshake(random, handshake);
  const auto bound = [&](Bytes header) {
    Buffer data(header.begin(), header.end());
    data.insert(data.end(), handshake.token.begin(), handshake.token.end());
    data.insert(data.end(), handshake.client_share.begin(), handshake.client_share.end());
    return data;
  };

  const Bytes challenge(handshake.challenge);
  std::array<std::byte, 53> challenge_text{};
  REQUIRE(open(challenge_text, handshake.keys.challenge, challenge.subspan<1, 24>(),
               bound(challenge.first(25)), challenge.subspan(25)));
  CHECK(to_hex(challenge_text) == to_hex(handshake.cookie.raw) + to_hex(handshake.server_share));

  const Bytes denied(handshake.denied);
  std::array<std::byte, 4> reason{};
  REQUIRE(open(reason, handshake.keys.denied, denied.subspan<1, 24>(), bound(denied.first(25)),
               denied.subspan(25)));
  CHECK(to_hex(reason) == "02000000");

  const Bytes accept(handshake.accept);
  Buffer accept_data(accept.begin(), accept.begin() + 25);
  const Hash256 hash = blake2b_256({}, {handshake.response});
  accept_data.insert(accept_data.end(), hash.begin(), hash.end());
  std::array<std::byte, 96> text{};
  REQUIRE(open(text, handshake.keys.accept, accept.subspan<1, 24>(), accept_data, accept.subspan(25)));
  CHECK(load_little_endian<std::uint32_t>(text.data()) == handshake.accept_body.features);
  CHECK(text[4] == std::byte{handshake.accept_body.connection_id.length});
  CHECK(to_hex(Bytes(text).subspan(5, 16)) == to_hex(handshake.accept_body.connection_id.bytes));
  CHECK(to_hex(Bytes(text).subspan(21, 32)) == to_hex(handshake.accept_body.random));
  CHECK(to_hex(Bytes(text).subspan(53, 16)) == to_hex(handshake.accept_body.reset_token));
  CHECK(load_little_endian<std::uint16_t>(text.data() + 69) == handshake.accept_body.max_datagram);
  CHECK(load_little_endian<std::uint32_t>(text.data() + 71) == handshake.accept_body.credit);
  CHECK(load_little_endian<std::uint32_t>(text.data() + 75) == handshake.accept_body.channel_credit);
  CHECK(all_zero(Bytes(text).subspan(79)));
}

TEST_CASE("handshake: what one side encodes the other opens") {
  SeededRandom random(23);
  for (int round = 0; round < 100; ++round) {
    Handshake handshake;
    make_handshake(random, handshake);

    const auto request = parse_request(handshake.request);
    REQUIRE(request.has_value());
    CHECK(request->clear == handshake.minted.token.clear);
    CHECK(to_hex(request->client_share) == to_hex(handshake.client_share));
    PrivateToken token;
    CHECK(open_private_token(request->sealed_private, handshake.minted.server_key,
                             request->token_associated_data, request->clear.nonce,
                             token) == TokenError::kNone);

    ChallengeBody challenge;
    REQUIRE(open_challenge(handshake.challenge, handshake.keys.challenge, handshake.token,
                           handshake.client_share, challenge));
    CHECK(to_hex(challenge.cookie()) == to_hex(handshake.cookie.raw));
    CHECK(to_hex(challenge.server_share()) == to_hex(handshake.server_share));
    CHECK(challenge.plaintext == challenge_plaintext(handshake.cookie.raw, handshake.server_share));

    const auto response = parse_response(handshake.response);
    REQUIRE(response.has_value());
    CHECK(response->clear == handshake.minted.token.clear);
    CHECK(response->cookie.time == handshake.cookie.time);
    CHECK(response->cookie.index == handshake.cookie.index);
    CHECK(response->cookie.mac == handshake.cookie.mac);
    CHECK(response->cookie.raw == handshake.cookie.raw);
    ResponseBody response_body;
    REQUIRE(open_response(*response, handshake.keys.response, response_body));
    CHECK(response_body == handshake.response_body);

    AcceptBody accept_body;
    REQUIRE(
        open_accept(handshake.accept, handshake.keys.accept, response_hash(handshake.response), accept_body));
    CHECK(accept_body == handshake.accept_body);

    CHECK(open_denied(handshake.denied, handshake.keys.denied, handshake.token, handshake.client_share) ==
          2U);
  }
}

TEST_CASE("handshake: no flipped bit, truncation or extension of a sealed datagram opens") {
  SeededRandom random(24);
  Handshake handshake;
  make_handshake(random, handshake);
  check_only_exact(handshake.challenge, [&](Bytes datagram) { return challenge_opens(handshake, datagram); });
  check_only_exact(handshake.response, [&](Bytes datagram) { return response_opens(handshake, datagram); });
  check_only_exact(handshake.accept, [&](Bytes datagram) { return accept_opens(handshake, datagram); });
  check_only_exact(handshake.denied, [&](Bytes datagram) { return denied_opens(handshake, datagram); });
}

TEST_CASE(
    "handshake: a flipped bit in REQUEST is refused, but for the share and the padding, which are not "
    "sealed") {
  SeededRandom random(25);
  Handshake handshake;
  make_handshake(random, handshake);
  const auto opens = [&](Bytes datagram) {
    const auto view = parse_request(datagram);
    PrivateToken token;
    return view.has_value() &&
           open_private_token(view->sealed_private, handshake.minted.server_key, view->token_associated_data,
                              view->clear.nonce, token) == TokenError::kNone;
  };
  for (std::size_t bit = 0; bit < kRequestSize * 8; ++bit) {
    RequestDatagram flipped = handshake.request;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(opens(flipped) == (bit / 8 >= 1041));
  }
}

TEST_CASE("handshake: an answer to another token or another attempt does not open") {
  SeededRandom random(26);
  Handshake a;
  Handshake b;
  make_handshake(random, a);
  make_handshake(random, b);
  ChallengeBody challenge;
  CHECK_FALSE(open_challenge(a.challenge, a.keys.challenge, b.token, a.client_share, challenge));
  CHECK_FALSE(open_challenge(a.challenge, a.keys.challenge, a.token, b.client_share, challenge));
  CHECK_FALSE(open_challenge(a.challenge, b.keys.challenge, a.token, a.client_share, challenge));
  CHECK_FALSE(open_denied(a.denied, a.keys.denied, b.token, a.client_share).has_value());
  CHECK_FALSE(open_denied(a.denied, a.keys.denied, a.token, b.client_share).has_value());
  CHECK_FALSE(open_denied(a.denied, a.keys.challenge, a.token, a.client_share).has_value());
  AcceptBody accept;
  CHECK_FALSE(open_accept(a.accept, a.keys.accept, response_hash(b.response), accept));
  CHECK_FALSE(open_accept(a.accept, b.keys.accept, response_hash(a.response), accept));
}

TEST_CASE("handshake: wrong length, kind and version are told apart") {
  SeededRandom random(27);
  Handshake handshake;
  make_handshake(random, handshake);
  CHECK(parse_request(Bytes{}).error() == HandshakeError::kLength);
  CHECK(parse_request(Bytes(handshake.request).first(1199)).error() == HandshakeError::kLength);
  CHECK(parse_response(handshake.request).error() == HandshakeError::kLength);
  RequestDatagram changed = handshake.request;
  changed[0] = std::byte{kResponseByte};
  CHECK(parse_request(changed).error() == HandshakeError::kKind);
  changed = handshake.request;
  changed[8] = std::byte{'2'};
  CHECK(parse_request(changed).error() == HandshakeError::kVersion);
  ResponseDatagram response = handshake.response;
  response[0] = std::byte{kRequestByte};
  CHECK(parse_response(response).error() == HandshakeError::kKind);
  response = handshake.response;
  response[1] = std::byte{'h'};
  CHECK(parse_response(response).error() == HandshakeError::kVersion);
}

// The handshake's RESPONSE and ACCEPT with another plaintext.
Buffer resealed_response(const Handshake& handshake, const std::array<std::byte, 64>& text) {
  Buffer response(handshake.response.begin(), handshake.response.end());
  seal(MutableBytes(response).subspan(1118), handshake.keys.response, Bytes(response).subspan<1094, 24>(),
       Bytes(response).first(1118), text);
  return response;
}

Buffer resealed_accept(const Handshake& handshake, const std::array<std::byte, 96>& text) {
  Buffer accept(handshake.accept.begin(), handshake.accept.end());
  Buffer data(accept.begin(), accept.begin() + 25);
  const Hash256 hash = response_hash(handshake.response);
  data.insert(data.end(), hash.begin(), hash.end());
  seal(MutableBytes(accept).subspan(25), handshake.keys.accept, Bytes(accept).subspan<1, 24>(), data, text);
  return accept;
}

TEST_CASE(
    "handshake: a connection id of a wrong length, or with something behind it, is refused although it "
    "opens") {
  SeededRandom random(28);
  Handshake handshake;
  make_handshake(random, handshake);
  for (unsigned length = 0; length < 256; ++length) {
    for (const unsigned padding : {0U, 1U}) {
      std::array<std::byte, 64> text{};
      text[4] = static_cast<std::byte>(length);
      text[20] = static_cast<std::byte>(padding);
      store_little_endian(text.data() + 21, kLeastMaxDatagram);
      const bool valid = length >= 4 && length <= 16 && (padding == 0 || length == 16);
      CHECK(response_opens(handshake, resealed_response(handshake, text)) == valid);

      std::array<std::byte, 96> accept_text{};
      std::copy(text.begin(), text.begin() + 21, accept_text.begin());
      store_little_endian(accept_text.data() + 69, kLeastMaxDatagram);
      CHECK(accept_opens(handshake, resealed_accept(handshake, accept_text)) == valid);
    }
  }
}

TEST_CASE("handshake: a longest datagram below 1,200 or above 65,507 bytes is refused although it opens") {
  SeededRandom random(33);
  Handshake handshake;
  make_handshake(random, handshake);
  for (const std::uint16_t size :
       {std::uint16_t{0}, std::uint16_t{1199}, std::uint16_t{1200}, std::uint16_t{9000}, std::uint16_t{65507},
        std::uint16_t{65508}, std::uint16_t{65535}}) {
    const bool valid = size >= 1200 && size <= 65507;
    std::array<std::byte, 64> text{};
    text[4] = std::byte{4};
    store_little_endian(text.data() + 21, size);
    CHECK(response_opens(handshake, resealed_response(handshake, text)) == valid);
    std::array<std::byte, 96> accept_text{};
    accept_text[4] = std::byte{4};
    store_little_endian(accept_text.data() + 69, size);
    CHECK(accept_opens(handshake, resealed_accept(handshake, accept_text)) == valid);
  }
}

TEST_CASE("handshake: reserved bytes behind RESPONSE's and ACCEPT's fields are ignored") {
  SeededRandom random(29);
  Handshake handshake;
  make_handshake(random, handshake);
  std::array<std::byte, 64> text{};
  text[4] = std::byte{4};
  store_little_endian(text.data() + 21, kLeastMaxDatagram);
  std::fill(text.begin() + 47, text.end(), std::byte{0xff});
  CHECK(response_opens(handshake, resealed_response(handshake, text)));
  std::array<std::byte, 96> accept_text{};
  accept_text[4] = std::byte{4};
  store_little_endian(accept_text.data() + 69, kLeastMaxDatagram);
  std::fill(accept_text.begin() + 79, accept_text.end(), std::byte{0xff});
  CHECK(accept_opens(handshake, resealed_accept(handshake, accept_text)));
}

TEST_CASE("handshake: an unknown reason of DENIED keeps its number") {
  SeededRandom random(30);
  Handshake handshake;
  make_handshake(random, handshake);
  encode_denied(handshake.denied, handshake.keys.denied, random_array<24>(random), handshake.token,
                handshake.client_share, static_cast<DeniedReason>(0xdeadbeefU));
  CHECK(open_denied(handshake.denied, handshake.keys.denied, handshake.token, handshake.client_share) ==
        0xdeadbeefU);
}

TEST_CASE("handshake: RESET carries any id, and only its own length") {
  SeededRandom random(31);
  for (std::size_t length = ConnectionId::kMin; length <= ConnectionId::kMax; ++length) {
    const ConnectionId id = ConnectionId::from(random_bytes(random, length)).value();
    const auto token = random_array<16>(random);
    std::array<std::byte, kMaxResetSize> storage{};
    const std::size_t size = encode_reset(storage, id, token);
    CHECK(size == 17 + length);
    const auto view = parse_reset(Bytes(storage).first(size));
    REQUIRE(view.has_value());
    CHECK(view->connection_id == id);
    CHECK(to_hex(view->token) == to_hex(token));
    storage[0] = std::byte{kSessionByte};
    CHECK_FALSE(parse_reset(Bytes(storage).first(size)).has_value());
  }
  Buffer reset(40, std::byte{kResetByte});
  for (std::size_t size = 0; size <= reset.size(); ++size) {
    CHECK(parse_reset(Bytes(reset).first(size)).has_value() == (size >= 21 && size <= 33));
  }
}

TEST_CASE("handshake: a gateway's and a client's turn allocate nothing") {
  SeededRandom random(32);
  Handshake handshake;
  make_handshake(random, handshake);
  const AllocationCount allocations;
  const auto view = parse_response(handshake.response);
  ResponseBody response_body;
  const bool opened = view.has_value() && open_response(*view, handshake.keys.response, response_body);
  encode_accept(handshake.accept, handshake.keys.accept, random_array<24>(random),
                response_hash(handshake.response), handshake.accept_body);
  const bool accepted = accept_opens(handshake, handshake.accept);
  const bool challenged = challenge_opens(handshake, handshake.challenge);
  const std::uint64_t count = allocations.count();
  CHECK(opened);
  CHECK(accepted);
  CHECK(challenged);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser
