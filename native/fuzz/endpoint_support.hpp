// Shared by the fuzz targets of whole endpoints: a gateway's options, tokens, and a client driven by hand.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/endpoint.hpp"
#include "engine/key_update.hpp"
#include "fuzz/fuzz_support.hpp"
#include "wire/connect_token.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace hawser::fuzz {

inline constexpr std::uint64_t kProtocolId = 1;
inline constexpr Instant kStart{std::chrono::seconds(1000)};
inline constexpr WallTime kStartWall{std::chrono::milliseconds(1'800'000'000'000)};
// Timeout of the sessions of all tokens.
inline constexpr Duration kTimeout = std::chrono::seconds(5);
inline const SocketAddress kServerAddress = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
inline const SocketAddress kClientAddress = SocketAddress::ipv4({10, 0, 1, 2}, 5000);

inline constexpr std::uint32_t kLongest = 8192;
inline constexpr std::uint32_t kCredit = 4 * kLongest;
inline constexpr std::uint32_t kChannelCredit = 2 * kLongest;
// Numbers of the channels of `channels()`.
inline constexpr std::uint32_t kUnreliable = 0;
inline constexpr std::uint32_t kSequenced = 1;
inline constexpr std::uint32_t kOrdered = 2;
inline constexpr std::uint32_t kUnordered = 3;
inline constexpr std::uint32_t kControlled = 4;
inline constexpr std::uint32_t kChannels = 5;

inline std::vector<ChannelDeclaration> channels() {
  return {{"unreliable", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
          {"sequenced", "", ChannelMode::kSequenced, ChannelPriority::kNormal, kLongest},
          {"ordered", "", ChannelMode::kReliable, ChannelPriority::kHigh, kLongest},
          {"unordered", "", ChannelMode::kReliableUnordered, ChannelPriority::kLow, kLongest},
          {"controlled", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0, true}};
}

inline Key key(std::uint8_t fill) {
  Key result;
  std::ranges::fill(result.mutable_bytes(), std::byte{fill});
  return result;
}

inline GatewayOptions gateway_options() {
  GatewayOptions options;
  options.protocol_id = kProtocolId;
  options.keys.push_back(ServerKey{1, key(1)});
  options.advertised_addresses.push_back(kServerAddress);
  options.reset_key = key(2);
  options.started = kStartWall - std::chrono::hours(1);
  return options;
}

inline std::vector<std::byte> mint(std::uint64_t client_id, bool single_use, RandomSource& random) {
  std::vector<std::byte> token(kMaxTokenSize);
  TokenParameters parameters;
  parameters.protocol_id = kProtocolId;
  parameters.key_id = 1;
  parameters.single_use = single_use;
  parameters.create = kStartWall;
  parameters.expire = kStartWall + std::chrono::hours(1);
  parameters.client_id = client_id;
  parameters.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kTimeout);
  parameters.addresses = std::span(&kServerAddress, 1);
  const auto size = mint_token(token, parameters, key(1), random);
  require(size.has_value());
  token.resize(*size);
  return token;
}

inline Hash128 digest() {
  const std::vector<ChannelDeclaration> declared = channels();
  std::vector<ChannelDigestEntry> entries;
  entries.reserve(declared.size());
  for (const ChannelDeclaration& channel : declared) {
    entries.push_back(
        {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
  }
  return channels_digest(entries);
}

// Events and counters of an endpoint.
struct Node {
  static constexpr std::size_t kRoomForMessages = std::size_t{64} * 1024;

  [[nodiscard]] std::uint64_t count(Counter counter) const {
    return counters[static_cast<std::size_t>(counter)];
  }

  std::vector<std::byte> slab = std::vector<std::byte>(EventQueue::kRoomBytes + kRoomForMessages);
  std::vector<EventDescriptor> descriptors = std::vector<EventDescriptor>(EventQueue::kRoomDescriptors + 64);
  EventQueue events{slab, descriptors};
  std::array<std::uint64_t, kCounterCount> counters{};
};

// A client made of the codecs and the cryptography: it completes handshakes, and leaves to its owner what is
// done with the keys.
class KeyHolder {
 public:
  explicit KeyHolder(RandomSource& random) : random_(random) {}

  // Begins a handshake: returns the REQUEST. `offer` is what the RESPONSE will say.
  Bytes begin(std::vector<std::byte> token, const ResponseBody& offer) {
    token_bytes_ = std::move(token);
    auto decoded = decode_public_token(token_bytes_);
    require(decoded.has_value());
    token_ = *std::move(decoded);
    offer_ = offer;
    handshake_keys_ = HandshakeKeys::from(token_.client_to_server, token_.server_to_client);
    share_ = KeyPair::generate(random_);
    encode_request(request_, token_, share_.share);
    accepted_ = false;
    return request_;
  }

  // Takes a datagram of the handshake: returns the RESPONSE to a CHALLENGE, and nothing to others.
  Bytes take(Bytes datagram) {
    switch (classify(std::to_integer<std::uint8_t>(datagram[0]))) {
      case DatagramKind::kChallenge: {
        ChallengeBody body;
        if (accepted_ || !open_challenge(datagram, handshake_keys_.challenge, token_id(token_.sealed_private),
                                         share_.share, body))
          return {};
        challenge_ = body.plaintext;
        encode_response(response_, request_, body.cookie(), handshake_keys_.response, Nonce{}, offer_);
        return response_;
      }
      case DatagramKind::kAccept: {
        AcceptBody accept;
        if (accepted_ || !open_accept(datagram, handshake_keys_.accept, response_hash(response_), accept))
          return {};
        Secret<32> shared;
        require(x25519(shared, share_.secret, std::span(challenge_).last<kShareSize>()));
        keys = SessionKeys::derive(session_prk(token_.client_to_server, token_.server_to_client, shared,
                                               accept.random, transcript(response_, challenge_, datagram)),
                                   false, 0);
        remote_id = accept.connection_id;
        accepted_ = true;
        return {};
      }
      default:
        return {};
    }
  }

  // Whether there are keys.
  [[nodiscard]] bool accepted() const { return accepted_; }

  SessionKeys keys;
  ConnectionId remote_id;  // of the gateway

 private:
  RandomSource& random_;
  std::vector<std::byte> token_bytes_;
  PublicToken token_;  // refers to them
  ResponseBody offer_;
  HandshakeKeys handshake_keys_;
  KeyPair share_;
  RequestDatagram request_{};
  ResponseDatagram response_{};
  ChallengePlaintext challenge_{};
  bool accepted_ = false;
};

// A session packet with these frames.
inline std::vector<std::byte> seal(const PacketKey& key, std::uint32_t epoch, const ConnectionId& id,
                                   std::uint64_t number, Bytes frames) {
  std::vector<std::byte> packet(kMaxSessionHeaderSize + frames.size() + kTagSize);
  const std::size_t header = encode_session_header(packet, epoch, id, number);
  packet.resize(header + frames.size() + kTagSize);
  std::ranges::copy(frames, packet.begin() + static_cast<std::ptrdiff_t>(header));
  key.seal_in_place(number, Bytes(packet).first(header), std::span(packet).subspan(header));
  return packet;
}

}  // namespace hawser::fuzz
