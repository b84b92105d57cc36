// A gateway that speaks netcode beside HAWSER, its clients, and packets made by hand.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "endpoint_support.hpp"
#include "wire/netcode_packets.hpp"
#include "wire/netcode_token.hpp"

namespace hawser::test {

inline GatewayOptions netcode_gateway_options() {
  GatewayOptions options = gateway_options();
  options.netcode.emplace();
  return options;
}

inline constexpr std::uint64_t kStartSeconds =
    static_cast<std::uint64_t>(kStartWall.time_since_epoch().count()) / 1000;

// World with tokens of netcode, and what a gateway tells of a netcode client.
class NetcodeWorld : public World {
 public:
  explicit NetcodeWorld(GatewayOptions options = netcode_gateway_options(),
                        EndpointOptions server_options = {}, std::uint64_t seed = 1)
      : World(std::move(options), server_options, seed) {}

  netcode::TokenParameters parameters(std::uint64_t client_id) const {
    netcode::TokenParameters result;
    result.protocol_id = kProtocolId;
    result.create = kStartSeconds;
    result.expire = kStartSeconds + 3600;
    result.client_id = client_id;
    result.timeout_seconds = 5;
    result.addresses = addresses;
    return result;
  }

  std::vector<std::byte> mint(const netcode::TokenParameters& parameters, std::uint8_t key = 1) {
    std::vector<std::byte> bytes(netcode::kTokenSize);
    REQUIRE(netcode::mint_token(std::span(bytes).first<netcode::kTokenSize>(), parameters, test_key(key),
                                random) == netcode::TokenError::kNone);
    return bytes;
  }
  std::vector<std::byte> token(std::uint64_t client_id) { return mint(parameters(client_id)); }

  Handle connect(Bytes token, Duration timeout = Duration::zero()) {
    const auto handle = client->endpoint.connect(ConnectOptions{kProtocolId, token, local, timeout}, now);
    REQUIRE(handle.has_value());
    return *handle;
  }

  // Connects and returns {client's handle, server's handle}.
  std::pair<Handle, Handle> connected(std::uint64_t client_id = 7) {
    const Handle own = connect(token(client_id));
    for (int i = 0; i < 4; ++i) exchange();
    Handle other{};
    for (const Event& event : server->take_events()) {
      if (event.kind == EventKind::kConnect) other = event.peer;
    }
    client->take_events();
    REQUIRE(other.generation != 0);
    return {own, other};
  }

  // What was sent to a side, since the log was cleared last.
  std::size_t count_sent(netcode::PacketType type, const SocketAddress& to) const {
    std::size_t count = 0;
    for (const Sent& sent : log) {
      const auto first = std::to_integer<unsigned>(sent.bytes[0]);
      if (sent.to == to && (first & 0x0fU) == static_cast<unsigned>(type)) ++count;
    }
    return count;
  }

  std::vector<SocketAddress> addresses{kServerAddress};
  SocketAddress local;
};

// The numbers of the standard's states that a client has gone through.
inline std::vector<int> netcode_states(const std::vector<Event>& events) {
  std::vector<int> states;
  for (const Event& event : events) {
    if (event.kind != EventKind::kState) continue;
    states.push_back(static_cast<int>(load_little_endian<std::uint32_t>(event.bytes.data())));
  }
  return states;
}

// A packet that no encoder makes: with any prefix byte and any body, and a sequence number of as many bytes
// as the prefix byte says, at most eight.
inline std::vector<std::byte> seal_raw(std::uint8_t prefix, std::uint64_t sequence, Bytes body,
                                       const PacketKey& key, const netcode::AssociatedData& associated_data) {
  const std::size_t bytes = std::min<std::size_t>(prefix >> 4U, 8);
  std::vector<std::byte> datagram(1 + 8);
  datagram[0] = std::byte{prefix};
  store_little_endian(datagram.data() + 1, sequence);
  datagram.resize(1 + bytes);
  datagram.insert(datagram.end(), body.begin(), body.end());
  datagram.resize(datagram.size() + kTagSize);
  key.seal_in_place(sequence, associated_data.with(prefix), MutableBytes(datagram).subspan(1 + bytes));
  return datagram;
}

// Prefix byte of a packet whose sequence number has so many bytes.
inline std::uint8_t prefix_of(netcode::PacketType type, std::uint8_t sequence_bytes) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(sequence_bytes) << 4U | static_cast<unsigned>(type));
}

// Somebody who holds a token and does as he likes.
class Rogue {
 public:
  Rogue(NetcodeWorld& world, Bytes token, const SocketAddress& own_address)
      : address(own_address),
        world_(world),
        token_(*netcode::decode_public_token(token)),
        send_key_(PacketKey::of(token_.client_to_server)),
        receive_key_(PacketKey::of(token_.server_to_client)),
        associated_data_(token_.protocol_id) {}

  void request() {
    std::vector<std::byte> datagram(netcode::kRequestSize);
    netcode::encode_request(std::span(datagram).first<netcode::kRequestSize>(), token_);
    send(datagram);
  }
  void send(std::vector<std::byte> datagram) {
    world_.server->endpoint.receive(ReceivedDatagram{datagram, address, kServerAddress, 0}, world_.now);
  }
  void packet(netcode::PacketType type, std::uint64_t sequence, Bytes body) {
    send(seal(type, sequence, body));
  }
  std::vector<std::byte> seal(netcode::PacketType type, std::uint64_t sequence, Bytes body) const {
    std::vector<std::byte> datagram(netcode::kMaxHeaderSize + body.size() + kTagSize);
    datagram.resize(netcode::seal_packet(datagram, type, sequence, body, send_key_, associated_data_));
    return datagram;
  }
  std::vector<std::byte> raw(std::uint8_t prefix, std::uint64_t sequence, Bytes body) const {
    return seal_raw(prefix, sequence, body, send_key_, associated_data_);
  }
  // The last packet of that type among what was sent to this address: its body and sequence number.
  struct Heard {
    std::uint64_t sequence;
    std::vector<std::byte> body;
    std::size_t size;
  };
  std::optional<Heard> last(netcode::PacketType type) const {
    std::optional<Heard> heard;
    for (const Sent& sent : world_.log) {
      if (sent.to != address) continue;
      std::vector<std::byte> copy = sent.bytes;
      const auto header = netcode::parse_header(copy, netcode::kTypesToClient);
      if (!header || header->type != type) continue;
      const auto body = netcode::open_packet(copy, *header, receive_key_, associated_data_);
      if (body) heard = Heard{header->sequence, {body->begin(), body->end()}, sent.bytes.size()};
    }
    return heard;
  }
  // REQUEST, and RESPONSE with sequence number 0 to the CHALLENGE.
  void connect() {
    request();
    world_.exchange();
    respond();
  }
  void respond() {
    const auto challenge = last(netcode::PacketType::kChallenge);
    REQUIRE(challenge.has_value());
    packet(netcode::PacketType::kResponse, 0, challenge->body);
    world_.exchange();
  }

  const SocketAddress address;

 private:
  NetcodeWorld& world_;
  netcode::PublicToken token_;
  PacketKey send_key_;
  PacketKey receive_key_;
  netcode::AssociatedData associated_data_;
};

// Somebody who knows the keys of a client's token, and takes the part of its server.
class Impostor {
 public:
  Impostor(NetcodeWorld& world, Bytes token)
      : world_(world),
        token_(*netcode::decode_public_token(token)),
        key_(PacketKey::of(token_.server_to_client)),
        associated_data_(token_.protocol_id) {}

  void send(std::vector<std::byte> datagram, const SocketAddress& from = kServerAddress) {
    world_.client->endpoint.receive(ReceivedDatagram{datagram, from, kClientAddress, 0}, world_.now);
  }
  void packet(netcode::PacketType type, std::uint64_t sequence, Bytes body) {
    send(seal(type, sequence, body));
  }
  std::vector<std::byte> seal(netcode::PacketType type, std::uint64_t sequence, Bytes body) const {
    return raw(prefix_of(type, static_cast<std::uint8_t>(netcode::sequence_size(sequence))), sequence, body);
  }
  std::vector<std::byte> raw(std::uint8_t prefix, std::uint64_t sequence, Bytes body) const {
    return seal_raw(prefix, sequence, body, key_, associated_data_);
  }

 private:
  NetcodeWorld& world_;
  netcode::PublicToken token_;
  PacketKey key_;
  netcode::AssociatedData associated_data_;
};

}  // namespace hawser::test
