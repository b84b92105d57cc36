// A server with an honest client, which is an endpoint, and hostile clients, which hold the keys of their
// sessions. The input is a script: packets of the hostile client of the moment, with any frames, numbers and
// epochs, from several addresses; messages to both clients; other calls of the server's user; time.
//
// Whatever the script says, memory, output and events of the server stay within their bounds. The honest
// client stays connected, and what was sent to and by it arrives in order. In the end every place is given
// back.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "crypto/sodium.hpp"
#include "fuzz/hostile_peer.hpp"

namespace {

using namespace hawser;        // NOLINT(google-build-using-namespace): a fuzz target
using namespace hawser::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target
using std::chrono::milliseconds;

constexpr std::uint32_t kMaxReassembly = 8 * kCredit;
constexpr std::uint32_t kMaxQueued = 64 * 1024;
// One peer that acknowledges nothing can use most of it.
constexpr std::uint32_t kMaxSendMemory = 80 * 1024;
constexpr std::uint32_t kMaxSessions = 16;
constexpr std::uint32_t kMaxOutput = 64;
constexpr std::uint64_t kHonestId = 1;
// Client ids of the hostile clients: enough sessions to fill the memory of all peers.
constexpr std::uint64_t kHostileIds = 12;
// Endpoint::memory_bytes(). Most of it are packet buffers.
constexpr std::size_t kMostMemory = std::size_t{3} * 1024 * 1024;
// The longest message of the honest client and to it.
constexpr std::size_t kLongestHonest = 2'000;

// Addresses from which the hostile peer sends: another port, another host, the other family; the last is the
// honest client's, where it hears nothing.
std::vector<SocketAddress> sources() {
  return {SocketAddress::ipv4({10, 0, 2, 1}, 6000), SocketAddress::ipv4({10, 0, 2, 1}, 6001),
          SocketAddress::ipv4({10, 9, 9, 9}, 9000), SocketAddress::ipv6({0x20}, 6000), kClientAddress};
}

EndpointOptions endpoint_options(Mode mode, std::uint8_t how) {
  EndpointOptions options;
  options.mode = mode;
  options.max_sessions = kMaxSessions;
  options.max_output_packets = kMaxOutput;
  options.channels = channels();
  options.credit = kCredit;
  options.channel_credit = kChannelCredit;
  options.max_reassembly_bytes = kMaxReassembly;
  options.high_water_bytes = 8 * 1024;
  options.max_queued_bytes = kMaxQueued;
  if ((how & 1U) != 0) options.congestion = CongestionAlgorithm::kCubic;
  if (mode == Mode::kServer && (how & 2U) != 0) options.on_queue_full = QueueFullPolicy::kDisconnect;
  return options;
}

// Messages of the ordered channel between the server and the honest client, in one direction. Each carries
// its number.
struct Stream {
  std::uint32_t sent = 0;
  std::uint32_t received = 0;

  void receive(Bytes message) { require(load_little_endian<std::uint32_t>(message.data()) == received++); }
};

class World {
 public:
  explicit World(ByteReader& script) : World(script.u8()) {
    const auto token = mint(kHonestId, false, random_);
    const auto handle = honest_.connect({kProtocolId, token, {}, std::chrono::seconds(10)}, now_);
    require(handle.has_value());
    to_server_ = *handle;
    pass(milliseconds(20));
    require(to_honest_.generation != 0);
    connect_hostile(script);
  }

  void step(ByteReader& script) {
    const std::uint8_t what = script.u8();
    switch (what % 16) {
      default:
        if (hostile_->accepted()) {
          const std::size_t source = source_of(script.u8());
          packets_.push_back(hostile_->packet(script));
          receive_hostile(packets_.back(), source);
        }
        break;
      case 7: {
        // One of the last packets once more, perhaps from elsewhere.
        const std::size_t source = source_of(script.u8());
        const std::uint8_t which = script.u8();
        if (!packets_.empty())
          receive_hostile(packets_[packets_.size() - 1 - which % packets_.size()], source);
        break;
      }
      case 8:
        connect_hostile(script);
        break;
      case 9:
      case 10: {
        const std::uint8_t time = script.u8();
        pass(time < 0x80 ? milliseconds(time) : milliseconds(250) * (time - 0x7f));
        break;
      }
      case 11: {
        const std::uint8_t how = script.u8();
        const std::vector<std::byte> message(std::min<std::uint64_t>(value(script), kLongest));
        const SendOptions options{milliseconds((how & 0x10U) != 0 ? 20 : 0), (how & 8U) != 0 ? 1U : 0U};
        for (int left = how >> 5U; left >= 0; --left) send_hostile(how % kChannels, message, options);
        break;
      }
      case 12:
        send_honest(script.u8());
        break;
      case 13: {
        const std::uint8_t how = script.u8();
        stalled_ = (how & 0xc0U) == 0xc0;
        static_cast<void>(server_.set_paused(to_hostile_, how % kChannels, (how & 0x08U) != 0, now_));
        break;
      }
      case 14: {
        const std::uint8_t how = script.u8();
        const InjectedSecret secret = injected_secret(1 + how % 4);
        static_cast<void>(server_.update_keys((how & 8U) == 0 ? to_hostile_ : to_honest_,
                                              how < 0x80 ? nullptr : &secret, now_));
        break;
      }
      case 15: {
        const std::uint8_t how = script.u8();
        if (how < 0x20) server_.disconnect(to_hostile_, 1, "fuzz", now_);
        if (how >= 0xc0) static_cast<void>(server_.goaway(to_hostile_, 1, milliseconds(how), {}));
        break;
      }
    }
    check();
  }

  void finish() {
    // The user takes events again, and time passes.
    stalled_ = false;
    for (int i = 0; i < 60 && !all_arrived(); ++i) pass(std::chrono::seconds(1));
    require(all_arrived());
    stopping_ = true;
    server_.stop(0, {}, now_);
    honest_.stop(0, {}, now_);
    for (int i = 0; i < 400 && (server_.sessions() > 0 || honest_.sessions() > 0); ++i)
      pass(milliseconds(10));
    require(server_.state() == SocketState::kStopped && honest_.state() == SocketState::kStopped);
    require(server_.sessions() == 0 && server_.connected() == 0 && gateway_.places() == 0);
    require(live_.empty());
    require(server_node_.count(Counter::reassemblyBytes) == 0);
    require(server_node_.count(Counter::sendQueueBytes) == 0 && gateway_.send_memory().in_use() == 0);
  }

 private:
  explicit World(std::uint8_t how)
      : gateway_(limits(), random_),
        server_(endpoint_options(Mode::kServer, how), &gateway_, random_, server_node_.events,
                Counters(server_node_.counters), kStart),
        honest_(endpoint_options(Mode::kClient, how), nullptr, random_, honest_node_.events,
                Counters(honest_node_.counters), kStart) {
    server_.set_wall_clock(kStart, kStartWall);
  }

  static GatewayOptions limits() {
    GatewayOptions options = gateway_options();
    options.max_send_memory = kMaxSendMemory;
    return options;
  }
  static std::uint64_t key_of(Handle peer) { return std::uint64_t{peer.slot} << 32U | peer.generation; }
  [[nodiscard]] std::size_t source_of(std::uint8_t byte) const { return byte % sources_.size(); }

  // A new hostile peer takes the place of the one before. The gateway may know that one for longer.
  void connect_hostile(ByteReader& script) {
    // The budget of handshakes is not the subject.
    pass(milliseconds(10));
    const std::uint8_t how = script.u8();
    ResponseBody offer;
    offer.features = kFeatureChannels | kFeatureKeyUpdate | kFeatureRoaming | kFeaturePathMtu;
    // Seldom without one of them.
    if (how >= 0xe0) offer.features &= ~(1U << (how & 3U));
    offer.connection_id.length = 8;
    offer.max_datagram = (how & 4U) == 0 ? kLeastMaxDatagram : kMaxReceivedDatagram;
    offer.credit = offer.channel_credit = (how & 8U) == 0 ? kCredit : UINT32_MAX;
    offer.channels = digest();
    hostile_ = std::make_unique<HostilePeer>(random_);
    packets_.clear();
    const Bytes request =
        hostile_->begin(mint(kHonestId + 1 + (how >> 4U) % kHostileIds, false, random_), offer);
    receive_hostile({request.begin(), request.end()}, source_of(script.u8()));
    for (int i = 0; i < 4; ++i) pass(milliseconds(1));
  }

  // Lets time pass for both endpoints and carries what they send. A turn comes when something has arrived or
  // is due, at most 256 times.
  void pass(Duration duration) {
    const Duration least = std::max<Duration>(milliseconds(1), duration / 256);
    const Instant end = now_ + duration;
    for (;;) {
      std::size_t sent = turn(honest_, honest_node_);
      sent += turn(server_, server_node_);
      check();
      if (now_ >= end) return;
      const Instant due = sent > 0 ? now_ : std::min(server_.next_deadline(), honest_.next_deadline());
      now_ = std::min(end, std::max(due, now_ + least));
    }
  }

  // Returns how many datagrams were sent.
  std::size_t turn(Endpoint& endpoint, Node& node) {
    endpoint.advance(now_);
    endpoint.flush(now_);
    std::vector<std::pair<SocketAddress, std::vector<std::byte>>> sent;
    for (auto output = endpoint.output(); !output.empty(); output = endpoint.output()) {
      for (const OutgoingDatagram& datagram : output)
        sent.emplace_back(datagram.remote, std::vector(datagram.bytes.begin(), datagram.bytes.end()));
      endpoint.output_sent(output.size());
    }
    require(sent.size() <= kMaxOutput);
    drain(endpoint, node);
    for (auto& [to, bytes] : sent) {
      require(bytes.size() <= kMaxReceivedDatagram);
      if (to == kServerAddress) {
        receive(server_, server_node_, bytes, kClientAddress);
      } else if (to == kClientAddress) {
        receive(honest_, honest_node_, bytes, kServerAddress);
      } else {
        take_hostile(bytes, to);
      }
    }
    return sent.size();
  }

  void receive(Endpoint& endpoint, Node& node, std::vector<std::byte>& bytes, const SocketAddress& from) {
    const bool room = node.events.has_room();
    const std::size_t count = node.events.count();
    const std::size_t used = node.events.slab_used();
    const SocketAddress to = &endpoint == &server_ ? kServerAddress : kClientAddress;
    endpoint.receive(ReceivedDatagram{bytes, from, to, static_cast<std::uint8_t>(bytes.size() % 4)}, now_);
    // The most that a datagram can add to the events.
    if (room) {
      require(node.events.kept() == 0 && node.events.count() - count <= EventQueue::kRoomDescriptors);
      require(node.events.slab_used() - used <= EventQueue::kRoomBytes);
    }
    drain(endpoint, node);
  }

  void receive_hostile(std::vector<std::byte> packet, std::size_t source) {
    traffic_[source].received += packet.size();
    receive(server_, server_node_, packet, sources_[source]);
  }

  void take_hostile(Bytes datagram, const SocketAddress& to) {
    const auto found = std::ranges::find(sources_, to);
    require(found != sources_.end());
    const auto source = static_cast<std::size_t>(found - sources_.begin());
    Traffic& traffic = traffic_[source];
    // An address that is not validated gets at most three times what came from it (RFC 9000 section 8.1).
    traffic.sent += datagram.size();
    if (hostile_->validated.contains(source)) traffic.validated = true;
    require(traffic.validated || traffic.sent <= 3 * traffic.received);
    const Bytes answer = hostile_->take(datagram, source, now_);
    if (!answer.empty()) {
      // The cookie validates the address.
      traffic.validated = true;
      receive_hostile({answer.begin(), answer.end()}, source);
    }
  }

  void send_hostile(std::uint32_t channel, Bytes message, const SendOptions& options) {
    const auto before = server_.status(to_hostile_, now_);
    const SendStatus sent = server_.send(to_hostile_, channel, message, options, now_);
    // Messages of these channels are sent at once and not held.
    if (!before || channel == kUnreliable || channel == kSequenced) return;
    require(sent != SendStatus::kSent || std::max(before->queued_bytes, before->held_bytes) <= kMaxQueued);
  }

  void send_honest(std::uint8_t how) {
    const bool to_server = (how & 1U) != 0;
    Endpoint& endpoint = to_server ? honest_ : server_;
    const Handle peer = to_server ? to_server_ : to_honest_;
    Stream& stream = to_server ? stream_to_server_ : stream_to_honest_;
    std::vector<std::byte> message(kLongestHonest * (1U + (how >> 1U)) / 128);
    // The server sends less than the peer's share of the memory, so that it is not disconnected for it.
    const auto status = endpoint.status(peer, now_);
    require(status.has_value());
    if (status->held_bytes > kMaxSendMemory / (2 * kMaxSessions)) return;
    store_little_endian(message.data(), stream.sent);
    const SendStatus sent = endpoint.send(peer, kOrdered, message, {}, now_);
    require(sent == SendStatus::kSent);
    ++stream.sent;
  }

  [[nodiscard]] bool all_arrived() const {
    return stream_to_server_.received == stream_to_server_.sent &&
           stream_to_honest_.received == stream_to_honest_.sent;
  }

  void check() {
    std::size_t held = 0;
    server_.for_each_connected([&](Handle peer) { held += server_.status(peer, now_)->held_bytes; });
    // The limit is exceeded by 64 KiB and one message at most, which takes up to twice its length.
    require(held <= kMaxSendMemory + std::size_t{64} * 1024 + std::size_t{2} * kLongest);
    require(server_node_.count(Counter::reassemblyBytesPeak) <= kMaxReassembly);
    require(server_.memory_bytes() <= kMostMemory);
    require(server_.sessions() <= kMaxSessions);
    require(server_node_.events.kept() <= std::size_t{8} * kMaxSessions);
  }

  void drain(Endpoint& endpoint, Node& node) {
    if (stalled_ && &endpoint == &server_) return;
    std::vector<std::pair<Handle, SecretId>> wanted;
    for (const EventDescriptor& event : node.events.descriptors()) {
      const Handle peer{event.slot, event.generation};
      const Bytes bytes = node.events.bytes_of(event);
      const bool honest = &endpoint == &honest_ || peer == to_honest_;
      switch (event.kind()) {
        case EventKind::kConnect:
          if (&endpoint == &honest_) break;
          live_.insert(key_of(peer));
          (load_little_endian<std::uint64_t>(bytes.data()) == kHonestId ? to_honest_ : to_hostile_) = peer;
          break;
        case EventKind::kDisconnect:
          require(!honest || stopping_);
          if (&endpoint == &server_) require(live_.erase(key_of(peer)) == 1);
          break;
        case EventKind::kMessage:
          require(&endpoint == &honest_ || live_.contains(key_of(peer)));
          if (honest) (&endpoint == &server_ ? stream_to_server_ : stream_to_honest_).receive(bytes);
          break;
        case EventKind::kSecretWanted: {
          SecretId id{};
          std::ranges::copy(bytes, id.begin());
          wanted.emplace_back(peer, id);
          break;
        }
        default:
          break;
      }
    }
    node.events.clear();
    for (const auto& [peer, id] : wanted) endpoint.provide_secret(peer, id, secret_of(id), now_);
  }

  struct Traffic {
    std::size_t received = 0;
    std::size_t sent = 0;
    bool validated = false;
  };

  const std::vector<SocketAddress> sources_ = sources();
  SeededRandom random_{7};
  GatewayState gateway_;
  Node server_node_;
  Node honest_node_;
  Endpoint server_;
  Endpoint honest_;
  std::unique_ptr<HostilePeer> hostile_;
  std::vector<std::vector<std::byte>> packets_;  // of the hostile peer
  std::array<Traffic, 5> traffic_{};             // of its sources
  Handle to_server_;
  Handle to_honest_;
  Handle to_hostile_;
  Stream stream_to_server_;
  Stream stream_to_honest_;
  Instant now_ = kStart;
  std::set<std::uint64_t> live_;  // the server's peers, as its user has been told
  bool stalled_ = false;
  bool stopping_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (!initialise() || size > 4096) return 0;
  ByteReader script(input(data, size));
  World world(script);
  while (script.ok() && script.remaining() > 0) world.step(script);
  world.finish();
  return 0;
}
