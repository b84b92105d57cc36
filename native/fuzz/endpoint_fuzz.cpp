// The endpoint as a whole, with both wire formats. The input is a script of steps: datagrams of an attacker,
// changed copies of what the two sides really sent, packets of somebody who knows a netcode client's keys,
// calls of the users, and time. Whatever happens, the invariants of the end hold.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "crypto/sodium.hpp"
#include "fuzz/endpoint_support.hpp"
#include "wire/netcode_packets.hpp"
#include "wire/netcode_token.hpp"

namespace {

using namespace hawser;        // NOLINT(google-build-using-namespace): a fuzz target
using namespace hawser::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target

const SocketAddress kStranger = SocketAddress::ipv4({10, 7, 7, 7}, 7000);

class World {
 public:
  World() : gateway_(both_formats(), random_) {
    EndpointOptions server;
    server.mode = Mode::kServer;
    server.max_sessions = 64;
    server.max_output_packets = 128;
    server.channels = channels();
    server.channel_credit = kChannelCredit;
    server.credit = kCredit;
    server.max_reassembly_bytes = 8 * kCredit;
    EndpointOptions client = server;
    client.mode = Mode::kClient;
    client.max_sessions = 64;
    client.max_output_packets = 128;
    server_ = std::make_unique<Endpoint>(server, &gateway_, random_, server_node_.events,
                                         Counters(server_node_.counters), kStart);
    client_ = std::make_unique<Endpoint>(client, nullptr, random_, client_node_.events,
                                         Counters(client_node_.counters), kStart);
    server_->set_wall_clock(kStart, kStartWall);
  }

  void connect(bool single_use) {
    begin(mint(1 + random_.below(3), single_use, random_), std::chrono::seconds(10));
  }

  void connect_netcode() {
    std::array<std::byte, netcode::kTokenSize> token{};
    netcode::TokenParameters parameters;
    parameters.protocol_id = kProtocolId;
    parameters.create = static_cast<std::uint64_t>(kStartWall.time_since_epoch().count()) / 1000;
    parameters.expire = parameters.create + 3600;
    parameters.client_id = 1 + random_.below(3);
    parameters.timeout_seconds = 1;
    parameters.addresses = std::span(&kServerAddress, 1);
    require(netcode::mint_token(token, parameters, key(1), random_) == netcode::TokenError::kNone);
    const auto decoded = netcode::decode_public_token(token);
    to_server_key_ = PacketKey::of(decoded->client_to_server);
    to_client_key_ = PacketKey::of(decoded->server_to_client);
    begin(token, Duration::zero());
  }

  // A packet of netcode under the keys of the newest token, whatever it says.
  void inject_sealed(std::uint8_t prefix, std::uint64_t sequence, Bytes body, bool to_server) {
    const std::size_t header = 1 + std::min<std::size_t>(prefix >> 4U, 8);
    std::vector<std::byte> datagram(1 + 8);
    datagram[0] = std::byte{prefix};
    store_little_endian(datagram.data() + 1, sequence);
    datagram.resize(header);
    datagram.insert(datagram.end(), body.begin(), body.end());
    datagram.resize(datagram.size() + kTagSize);
    const PacketKey& key = to_server ? to_server_key_ : to_client_key_;
    key.seal_in_place(sequence, netcode::AssociatedData(kProtocolId).with(prefix),
                      MutableBytes(datagram).subspan(header));
    inject(datagram, to_server, false);
  }

  void step(Duration duration) {
    now_ += duration;
    for (Endpoint* endpoint : {server_.get(), client_.get()}) {
      endpoint->advance(now_);
      endpoint->flush(now_);
      for (auto output = endpoint->output(); !output.empty(); output = endpoint->output()) {
        for (const OutgoingDatagram& datagram : output) {
          require(datagram.bytes.size() <= kMaxReceivedDatagram);
          wire_.push_back({datagram.bytes.begin(), datagram.bytes.end()});
          to_server_.push_back(endpoint == client_.get());
        }
        endpoint->output_sent(output.size());
      }
    }
    drain();
  }

  // Delivers one captured datagram, perhaps changed, perhaps to the wrong side, perhaps from a stranger.
  void deliver(std::size_t which, std::uint8_t how, std::size_t position, std::uint8_t change) {
    if (wire_.empty()) return;
    const std::size_t index = (wire_.size() - 1) - which % std::min<std::size_t>(wire_.size(), 64);
    std::vector<std::byte> copy = wire_[index];
    if ((how & 1U) != 0) copy[position % copy.size()] ^= std::byte{change};
    if ((how & 2U) != 0) copy.resize(position % copy.size());
    const bool to_server = to_server_[index] != ((how & 4U) != 0);
    inject(copy, to_server, (how & 8U) != 0);
  }

  void inject(std::vector<std::byte>& bytes, bool to_server, bool strange) {
    const SocketAddress from = strange ? kStranger : to_server ? kClientAddress : kServerAddress;
    Endpoint& endpoint = to_server ? *server_ : *client_;
    endpoint.receive(ReceivedDatagram{bytes, from, to_server ? kServerAddress : kClientAddress, 0}, now_);
    drain();
  }

  void deliver_all() {
    for (std::size_t i = delivered_; i < wire_.size(); ++i) {
      std::vector<std::byte> copy = wire_[i];
      inject(copy, to_server_[i], false);
    }
    delivered_ = wire_.size();
  }

  // `repeat`: how often the message is written behind itself.
  void send(Bytes message, std::uint32_t channel, std::size_t repeat, Duration ttl) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i <= repeat; ++i) bytes.insert(bytes.end(), message.begin(), message.end());
    const SendOptions options{ttl, 1};
    static_cast<void>(client_->send(client_peer_, channel, bytes, options, now_));
    if (server_peer_.generation != 0)
      static_cast<void>(server_->send(server_peer_, channel, bytes, options, now_));
  }

  void pause(std::uint32_t channel, bool paused) {
    static_cast<void>(client_->set_paused(client_peer_, channel, paused, now_));
    static_cast<void>(server_->set_paused(server_peer_, channel, paused, now_));
  }

  void update_keys(bool by_server) {
    if (by_server) {
      static_cast<void>(server_->update_keys(server_peer_, nullptr, now_));
    } else {
      static_cast<void>(client_->update_keys(client_peer_, nullptr, now_));
    }
  }

  void disconnect(bool by_server) {
    if (by_server) {
      server_->disconnect(server_peer_, 1, "fuzz", now_, std::chrono::seconds(1));
    } else {
      client_->disconnect(client_peer_, 1, "fuzz", now_);
    }
  }

  // From now on the users take events, or they do not.
  void stall(bool stalled) { stalled_ = stalled; }

  void finish() {
    stalled_ = false;
    server_->stop(0, {}, now_);
    client_->stop(0, {}, now_);
    for (int i = 0; i < 400; ++i) step(std::chrono::milliseconds(10));
    require(server_->state() == SocketState::kStopped && client_->state() == SocketState::kStopped);
    require(server_->sessions() == 0 && client_->sessions() == 0);
    require(server_->connected() == 0 && gateway_.places() == 0);
    require(ended_ == connected_);
  }

 private:
  void begin(Bytes token, Duration timeout) {
    const auto handle = client_->connect(ConnectOptions{kProtocolId, token, {}, timeout}, now_);
    if (handle) client_peer_ = *handle;
  }

  static GatewayOptions both_formats() {
    GatewayOptions options = gateway_options();
    options.max_peers = 2;
    options.netcode.emplace();
    options.restart_guard = std::nullopt;
    return options;
  }

  void drain() {
    // A few for each peer of both wire formats, however long nobody takes any.
    require(server_node_.events.kept() <= 8 * 128 && client_node_.events.kept() <= 8 * 128);
    if (stalled_) return;
    for (const EventDescriptor& event : server_node_.events.descriptors()) {
      if (event.kind() == EventKind::kConnect) {
        server_peer_ = Handle{event.slot, event.generation};
        ++connected_;
      }
      if (event.kind() == EventKind::kDisconnect) ++ended_;
    }
    server_node_.events.clear();
    client_node_.events.clear();
  }

  SeededRandom random_{7};
  GatewayState gateway_;
  Node server_node_;
  Node client_node_;
  std::unique_ptr<Endpoint> server_;
  std::unique_ptr<Endpoint> client_;
  Handle client_peer_;
  Handle server_peer_;
  PacketKey to_server_key_;
  PacketKey to_client_key_;
  Instant now_ = kStart;
  std::vector<std::vector<std::byte>> wire_;
  std::vector<bool> to_server_;
  std::size_t delivered_ = 0;
  std::size_t connected_ = 0;
  std::size_t ended_ = 0;
  bool stalled_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (!initialise() || size > 4096) return 0;
  World world;
  ByteReader script(input(data, size));
  while (script.ok() && script.remaining() > 0) {
    switch (script.u8() % 10) {
      case 0: {
        const std::uint8_t how = script.u8();
        if ((how & 2U) != 0) {
          world.connect_netcode();
        } else {
          world.connect((how & 1U) != 0);
        }
        break;
      }
      case 1:
        world.step(std::chrono::milliseconds(script.u8() * 4));
        break;
      case 2: {
        const std::uint8_t which = script.u8();
        const std::uint8_t how = script.u8();
        const std::uint16_t position = script.u16();
        world.deliver(which, how, position, script.u8());
        break;
      }
      case 3: {
        const std::uint8_t flags = script.u8();
        const Bytes bytes = script.bytes(std::min<std::size_t>(script.u8(), script.remaining()));
        if ((flags & 32U) != 0) {
          const std::uint8_t prefix = script.u8();
          world.inject_sealed(prefix, script.u64(), bytes, (flags & 1U) != 0);
          break;
        }
        std::vector<std::byte> datagram(bytes.begin(), bytes.end());
        // Padded to the sizes that pass the first check of each kind.
        if ((flags & 4U) != 0) datagram.resize(1200);
        if ((flags & 8U) != 0) datagram.resize(1198);
        if ((flags & 16U) != 0) datagram.resize(netcode::kRequestSize);
        world.inject(datagram, (flags & 1U) != 0, (flags & 2U) != 0);
        break;
      }
      case 4:
      case 5:
        world.step(std::chrono::milliseconds(1));
        world.deliver_all();
        break;
      case 6: {
        const std::uint8_t how = script.u8();
        const Bytes message = script.bytes(std::min<std::size_t>(script.u8(), script.remaining()));
        world.send(message, how % (kChannels + 1), how / 8,
                   std::chrono::milliseconds((how & 4U) != 0 ? 20 : 0));
        break;
      }
      case 7: {
        const std::uint8_t how = script.u8();
        if ((how & 8U) != 0) {
          world.stall((how & 16U) != 0);
        } else {
          world.pause(how % 4, (how & 4U) != 0);
        }
        break;
      }
      case 8:
        world.update_keys((script.u8() & 1U) != 0);
        break;
      default:
        world.disconnect((script.u8() & 1U) != 0);
        break;
    }
  }
  world.finish();
  return 0;
}
