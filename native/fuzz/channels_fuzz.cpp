// A gateway and a peer that holds the keys and sends whatever the input says as the frames of its packets,
// with time, messages to it and pauses between them. Whatever it sends, the gateway's memory stays within its
// bounds, its user is told of one end for each beginning, and nothing is left behind.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "fuzz_support.hpp"
#include "wire/connect_token.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using hawser::fuzz::require;

constexpr std::uint64_t kProtocolId = 1;
constexpr Instant kStart{std::chrono::seconds(1000)};
constexpr WallTime kStartWall{std::chrono::milliseconds(1'800'000'000'000)};
constexpr std::uint32_t kLongest = 8192;
constexpr std::uint32_t kCredit = 3 * kLongest;
const SocketAddress kServerAddress = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
const SocketAddress kPeerAddress = SocketAddress::ipv4({10, 0, 1, 2}, 5000);

Key key(std::uint8_t fill) {
  Key result;
  std::ranges::fill(result.mutable_bytes(), std::byte{fill});
  return result;
}

std::vector<ChannelDeclaration> channels() {
  return {{"unreliable", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
          {"sequenced", "", ChannelMode::kSequenced, ChannelPriority::kNormal, kLongest},
          {"reliable", "", ChannelMode::kReliable, ChannelPriority::kHigh, kLongest},
          {"unordered", "", ChannelMode::kReliableUnordered, ChannelPriority::kLow, kLongest},
          {"controlled", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0, true}};
}

Hash128 digest() {
  const std::vector<ChannelDeclaration> declared = channels();
  std::vector<ChannelDigestEntry> entries;
  entries.reserve(declared.size());
  for (const ChannelDeclaration& channel : declared) {
    entries.push_back(
        {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
  }
  return channels_digest(entries);
}

class World {
 public:
  World() : gateway_(gateway_options(), random_) {
    EndpointOptions options;
    options.mode = Mode::kServer;
    options.max_sessions = 8;
    options.max_output_packets = 64;
    options.channels = channels();
    options.credit = kCredit;
    options.channel_credit = 2 * kLongest;
    options.max_reassembly_bytes = kMemory;
    options.high_water_bytes = 4096;
    options.max_queued_bytes = 4 * kLongest;
    endpoint_ = std::make_unique<Endpoint>(options, &gateway_, random_, events_, Counters(counters_), kStart);
    endpoint_->set_wall_clock(kStart, kStartWall);
  }

  // A new peer takes the place of the one before, if there is a place for it.
  void connect() {
    // The handshake's budget is not the subject.
    now_ += std::chrono::milliseconds(10);
    std::vector<std::byte> token(kMaxTokenSize);
    TokenParameters parameters;
    parameters.protocol_id = kProtocolId;
    parameters.key_id = 1;
    parameters.create = kStartWall;
    parameters.expire = kStartWall + std::chrono::hours(1);
    parameters.client_id = 1;
    parameters.timeout = std::chrono::seconds(5);
    parameters.addresses = std::span(&kServerAddress, 1);
    const auto size = mint_token(token, parameters, key(1), random_);
    require(size.has_value());
    auto decoded = decode_public_token(Bytes(token).first(*size));
    require(decoded.has_value());
    token_ = *std::move(decoded);
    keys_ = HandshakeKeys::from(token_.client_to_server, token_.server_to_client);
    share_ = KeyPair::generate(random_);
    accepted_ = false;
    next_number_ = 0;
    encode_request(request_, token_, share_.share);
    receive(request_);
    turn();
    // Confirms: a PING.
    packet(std::array{std::byte{1}, std::byte{0}, std::byte{0}});
    turn();
  }

  // Sends a packet with these frames.
  void packet(Bytes frames) {
    if (!accepted_) return;
    std::vector<std::byte> bytes(kMaxSessionHeaderSize + frames.size() + kTagSize);
    const std::size_t header = encode_session_header(bytes, 0, remote_id_, next_number_);
    bytes.resize(header + frames.size() + kTagSize);
    std::ranges::copy(frames, bytes.begin() + static_cast<std::ptrdiff_t>(header));
    send_key_.seal_in_place(next_number_, Bytes(bytes).first(header), std::span(bytes).subspan(header));
    ++next_number_;
    receive(bytes);
  }

  void turn(Duration duration = {}) {
    now_ += duration;
    endpoint_->advance(now_);
    endpoint_->flush(now_);
    std::vector<std::vector<std::byte>> sent;
    for (auto output = endpoint_->output(); !output.empty(); output = endpoint_->output()) {
      for (const OutgoingDatagram& datagram : output)
        sent.emplace_back(datagram.bytes.begin(), datagram.bytes.end());
      endpoint_->output_sent(output.size());
    }
    drain();
    for (const std::vector<std::byte>& datagram : sent) take(datagram);
    require(counters_[static_cast<std::size_t>(Counter::reassemblyBytesPeak)] <= kMemory);
  }

  void send(std::uint32_t channel, std::size_t size, Duration ttl) {
    const std::vector<std::byte> message(size);
    static_cast<void>(endpoint_->send(handle_, channel, message, {ttl, ++confirm_}, now_));
  }
  void pause(std::uint32_t channel, bool paused) {
    if (endpoint_->set_paused(handle_, channel, paused, now_)) paused_ = paused_ || paused;
  }

  // Lets the time pass in which a peer has to go on with what it has begun. It answers meanwhile, and does
  // nothing else. Unless a channel was paused, whose messages may stay, no memory is held afterwards.
  void wait_for_progress() {
    for (Duration waited{}; waited < ProgressMonitor::kInterval * (ProgressMonitor::kIntervals + 2);
         waited += std::chrono::seconds(1)) {
      packet(std::array{std::byte{1}, static_cast<std::byte>(waited.count()), std::byte{1}});
      turn(std::chrono::seconds(1));
    }
    require(paused_ || counters_[static_cast<std::size_t>(Counter::reassemblyBytes)] == 0);
  }

  void finish() {
    endpoint_->stop(0, {}, now_);
    for (int i = 0; i < 300 && endpoint_->state() != SocketState::kStopped; ++i)
      turn(std::chrono::milliseconds(10));
    require(endpoint_->state() == SocketState::kStopped);
    turn();
    require(connected_ == ended_);
    require(counters_[static_cast<std::size_t>(Counter::reassemblyBytes)] == 0);
    require(counters_[static_cast<std::size_t>(Counter::sendQueueBytes)] == 0);
  }

 private:
  static constexpr std::size_t kMemory = 8 * kCredit;

  static GatewayOptions gateway_options() {
    GatewayOptions options;
    options.protocol_id = kProtocolId;
    options.keys.push_back(ServerKey{1, key(1)});
    options.advertised_addresses.push_back(kServerAddress);
    options.reset_key = key(2);
    options.started = kStartWall - std::chrono::hours(1);
    return options;
  }

  void receive(Bytes bytes) {
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    endpoint_->receive(ReceivedDatagram{copy, kPeerAddress, kServerAddress, 0}, now_);
    drain();
  }

  void take(Bytes datagram) {
    const DatagramKind kind = classify(std::to_integer<std::uint8_t>(datagram[0]));
    if (kind == DatagramKind::kChallenge) {
      ChallengeBody body;
      if (!open_challenge(datagram, keys_.challenge, token_id(token_.sealed_private), share_.share, body))
        return;
      challenge_ = body.plaintext;
      ResponseBody offer;
      offer.features = kFeatureChannels;
      offer.connection_id.length = 8;
      offer.credit = offer.channel_credit = 64 * 1024;
      offer.channels = digest();
      encode_response(response_, request_, body.cookie(), keys_.response, Nonce{}, offer);
      receive(response_);
      turn();
    } else if (kind == DatagramKind::kAccept && !accepted_) {
      AcceptBody accept;
      if (!open_accept(datagram, keys_.accept, response_hash(response_), accept)) return;
      Secret<32> shared;
      require(x25519(shared, share_.secret, std::span(challenge_).last<kShareSize>()));
      const Prk prk = session_prk(token_.client_to_server, token_.server_to_client, shared, accept.random,
                                  transcript(response_, challenge_, datagram));
      send_key_ = packet_key(prk, Direction::kClientToServer, 0);
      remote_id_ = accept.connection_id;
      accepted_ = true;
    }
  }

  void drain() {
    for (const EventDescriptor& event : events_.descriptors()) {
      const Handle peer{event.slot, event.generation};
      if (event.kind() == EventKind::kConnect) {
        handle_ = peer;
        ++connected_;
      }
      if (event.kind() == EventKind::kDisconnect) ++ended_;
    }
    events_.clear();
  }

  SeededRandom random_{7};
  std::vector<std::byte> slab_ = std::vector<std::byte>(EventQueue::kRoomBytes + 2 * kLongest);
  std::vector<EventDescriptor> descriptors_ = std::vector<EventDescriptor>(EventQueue::kRoomDescriptors + 64);
  EventQueue events_{slab_, descriptors_};
  std::array<std::uint64_t, kCounterCount> counters_{};
  GatewayState gateway_;
  std::unique_ptr<Endpoint> endpoint_;
  PublicToken token_;
  HandshakeKeys keys_;
  KeyPair share_;
  RequestDatagram request_{};
  ResponseDatagram response_{};
  ChallengePlaintext challenge_{};
  PacketKey send_key_;
  ConnectionId remote_id_;
  Handle handle_;
  Instant now_ = kStart;
  std::uint64_t next_number_ = 0;
  std::uint32_t confirm_ = 0;
  std::size_t connected_ = 0;
  std::size_t ended_ = 0;
  bool accepted_ = false;
  // A channel was paused, of whatever peer.
  bool paused_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (!initialise() || size > 8192) return 0;
  World world;
  world.connect();
  ByteReader script(std::as_bytes(std::span(data, size)));
  while (script.ok() && script.remaining() > 0) {
    switch (script.u8() % 8) {
      case 0:
      case 1:
      case 2:
      case 3:
        world.packet(script.bytes(std::min<std::size_t>(1 + script.u8(), script.remaining())));
        break;
      case 4: {
        const std::uint8_t time = script.u8();
        if (time == 0xff) {
          world.wait_for_progress();
        } else {
          world.turn(std::chrono::milliseconds(time * 4));
        }
        break;
      }
      case 5: {
        const std::uint8_t how = script.u8();
        world.send(how % 5, std::size_t{script.u8()} * 40,
                   std::chrono::milliseconds((how & 0x80U) != 0 ? 20 : 0));
        break;
      }
      case 6: {
        const std::uint8_t how = script.u8();
        world.pause(how % 4, (how & 4U) != 0);
        break;
      }
      default:
        world.connect();
        break;
    }
  }
  world.finish();
  return 0;
}
