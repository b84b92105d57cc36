// A client driven by hand, made of the wire's codecs and the cryptography: it completes the handshake with
// the gateway of a World and then sends whatever frames a test wants, in packets of whatever number.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "endpoint_support.hpp"
#include "engine/key_update.hpp"
#include "wire/connect_token.hpp"
#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace hawser::test {

// Flushes an endpoint and takes all that it sends.
inline std::vector<Sent> sent_by(Node& node, Instant now) {
  std::vector<Sent> result;
  node.endpoint.flush(now);
  for (auto output = node.endpoint.output(); !output.empty(); output = node.endpoint.output()) {
    for (const OutgoingDatagram& datagram : output) {
      result.push_back({node.address, datagram.remote, {datagram.bytes.begin(), datagram.bytes.end()}});
    }
    node.endpoint.output_sent(output.size());
  }
  return result;
}

// Frames under construction, as the plaintext of one packet.
class Frames {
 public:
  Frames& ping(std::uint16_t sequence) { return check(write_ping(writer_, sequence)); }
  Frames& pong(std::uint16_t sequence, Instant received) {
    return check(
        write_pong(writer_, sequence, static_cast<std::uint64_t>(received.time_since_epoch().count()), {}));
  }
  Frames& ack(std::uint64_t smallest, std::uint64_t largest) {
    const AckRange range{smallest, largest};
    return check(write_ack(writer_, Duration(0), std::span(&range, 1)));
  }
  Frames& disconnect(std::uint32_t code, Duration reconnect_spread = {}) {
    return check(write_disconnect(writer_, {code, reconnect_spread, {}}));
  }
  Frames& goaway() { return check(write_goaway(writer_, {0, std::chrono::seconds(1), {}, false, {}})); }
  Frames& new_id(std::uint64_t sequence, std::uint8_t fill) {
    ConnectionId id;
    id.length = 8;
    std::fill_n(id.bytes.begin(), 8, std::byte{fill});
    return check(write_new_id(writer_, sequence, id, ResetToken{}));
  }
  Frames& path_challenge(std::uint8_t fill) { return check(write_path_challenge(writer_, path_data(fill))); }
  Frames& path_response(const PathData& data) { return check(write_path_response(writer_, data)); }
  static PathData path_data(std::uint8_t fill) {
    PathData data{};
    data.fill(std::byte{fill});
    return data;
  }
  Frames& retire_id(std::uint64_t sequence) { return check(write_retire_id(writer_, sequence)); }
  Frames& message(Bytes data, std::uint32_t channel = 0) {
    return check(write_message(writer_, channel, data));
  }
  // As many empty messages as fit.
  Frames& empty_messages() {
    while (write_message(writer_, 0, {})) {
    }
    return *this;
  }
  Frames& credit(std::uint64_t limit) { return check(write_credit(writer_, limit)); }
  Frames& channel_credit(std::uint32_t channel, std::uint64_t limit, std::uint64_t ahead = 0) {
    return check(write_channel_credit(writer_, {channel, limit, ahead}));
  }
  // Whole messages from `first` on.
  Frames& reliable(std::uint32_t channel, std::uint64_t first, std::initializer_list<Bytes> messages) {
    std::size_t size = 0;
    for (const Bytes message : messages) size += varint_size(message.size()) + message.size();
    check(write_reliable_header(writer_, channel, first, size, true));
    for (const Bytes message : messages) {
      writer_.varint(message.size());
      writer_.bytes(message);
    }
    return *this;
  }
  // The parts are not checked: `offset` and `total` may be anything.
  Frames& fragment(std::uint32_t channel, std::uint64_t number, std::uint64_t total, std::uint64_t offset,
                   Bytes data) {
    return part(static_cast<std::uint8_t>(FrameType::kFragment) | kReliableLengthBit, channel, number, total,
                offset, data);
  }
  Frames& sequenced(std::uint32_t channel, std::uint64_t number, Bytes data) {
    return check(
        write_sequenced(writer_, {channel, number, static_cast<std::uint32_t>(data.size()), 0, data}));
  }
  Frames& sequenced_part(std::uint32_t channel, std::uint64_t number, std::uint64_t total,
                         std::uint64_t offset, Bytes data) {
    return part(static_cast<std::uint8_t>(FrameType::kSequenced) | kSequencedPartBit | kSequencedLengthBit,
                channel, number, total, offset, data);
  }
  Frames& expired(std::uint32_t channel, std::uint64_t number, std::uint32_t length) {
    return check(write_expired(writer_, {channel, number, length}));
  }
  // Highest first; more than an endpoint itself would send.
  Frames& ack_ranges(std::span<const AckRange> ranges) {
    writer_.u8(static_cast<std::uint8_t>(FrameType::kAck));
    writer_.varint(ranges[0].largest);
    writer_.varint(0);
    writer_.varint(ranges.size() - 1);
    writer_.varint(ranges[0].largest - ranges[0].smallest);
    for (std::size_t i = 1; i < ranges.size(); ++i) {
      writer_.varint(ranges[i - 1].smallest - ranges[i].largest - 2);
      writer_.varint(ranges[i].largest - ranges[i].smallest);
    }
    return check(writer_.ok());
  }
  [[nodiscard]] std::size_t remaining() const { return writer_.remaining(); }
  Frames& raw(Bytes bytes) {
    REQUIRE(writer_.remaining() >= bytes.size());
    writer_.bytes(bytes);
    return *this;
  }
  Frames& padding(std::size_t count) { return check(write_padding(writer_, count)); }
  [[nodiscard]] Bytes view() const { return writer_.written(); }

  Frames() = default;
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

 private:
  Frames& check(bool written) {
    REQUIRE(written);
    return *this;
  }
  Frames& part(unsigned type, std::uint32_t channel, std::uint64_t number, std::uint64_t total,
               std::uint64_t offset, Bytes data) {
    writer_.u8(static_cast<std::uint8_t>(type));
    for (const std::uint64_t field :
         {std::uint64_t{channel}, number, total, offset, std::uint64_t{data.size()}})
      writer_.varint(field);
    writer_.bytes(data);
    return check(writer_.ok());
  }

  std::array<std::byte, kMaxSentDatagram - kSessionOverhead - 8> storage_{};
  ByteWriter writer_{storage_};
};

class RoguePeer {
 public:
  RoguePeer(World& world, Bytes token, const SocketAddress& own_address, std::uint64_t seed)
      : address(own_address), world_(world), random_(seed) {
    auto decoded = decode_public_token(token);
    REQUIRE(decoded.has_value());
    token_ = *std::move(decoded);
    handshake_keys_ = HandshakeKeys::from(token_.client_to_server, token_.server_to_client);
    share_ = KeyPair::generate(random_);
    encode_request(request, token_, share_.share);
    own_id_.length = 8;
    random_.fill(std::span(own_id_.bytes).first(8));
  }

  // Brings a datagram to the gateway, from this peer's address or another one.
  void deliver(Bytes datagram) { deliver_from(address, datagram); }
  void deliver_from(const SocketAddress& from, Bytes datagram) {
    world_.deliver(Sent{from, kServerAddress, {datagram.begin(), datagram.end()}});
  }

  // Takes what the gateway has sent to this peer: answers of the handshake and packets.
  void take(const std::vector<Sent>& sent) {
    for (const Sent& datagram : sent) {
      if (datagram.to != address && std::ranges::find(other_addresses, datagram.to) == other_addresses.end())
        continue;
      destination_ = datagram.to;
      received.push_back(datagram.bytes);
      switch (classify(std::to_integer<std::uint8_t>(datagram.bytes[0]))) {
        case DatagramKind::kChallenge:
          take_challenge(datagram.bytes);
          break;
        case DatagramKind::kAccept:
          take_accept(datagram.bytes);
          break;
        case DatagramKind::kSession:
          take_packet(datagram.bytes);
          break;
        default:
          break;
      }
    }
  }
  // Lets the gateway end its turn and takes what it sent.
  void turn() { take(sent_by(*world_.server, world_.now)); }

  // As far as the ACCEPT, so that the gateway is half-open.
  void open() {
    deliver(request);
    turn();
    REQUIRE(challenged);
    deliver(response);
    turn();
    REQUIRE(accepted);
  }
  // As far as the gateway's first packet. The handle is the gateway's.
  Handle connect() {
    open();
    send(Frames().ping(0));
    turn();
    REQUIRE(packets > 0);
    for (const Event& event : world_.server->take_events()) {
      if (event.kind == EventKind::kConnect) handle_ = event.peer;
    }
    REQUIRE(handle_.generation != 0);
    return handle_;
  }

  [[nodiscard]] std::vector<std::byte> seal(const Frames& frames) { return seal(frames.view(), remote_id); }
  [[nodiscard]] std::vector<std::byte> seal(Bytes frames, const ConnectionId& to) {
    std::vector<std::byte> packet(kMaxSessionHeaderSize + frames.size() + kTagSize);
    const std::size_t header = encode_session_header(packet, keys.epoch, to, next_number);
    packet.resize(header + frames.size() + kTagSize);
    std::copy(frames.begin(), frames.end(), packet.begin() + static_cast<std::ptrdiff_t>(header));
    keys.send.seal_in_place(next_number, Bytes(packet).first(header), std::span(packet).subspan(header));
    ++next_number;
    return packet;
  }
  void send(const Frames& frames) { deliver(seal(frames)); }

  // How many frames of a kind have come since the last `forget`.
  [[nodiscard]] std::size_t count(FrameType type) const {
    std::size_t found = 0;
    for (const auto& payload : payloads) {
      FrameReader reader(payload);
      for (Frame frame; reader.next(frame);) found += frame.type == type ? 1U : 0U;
      CHECK_FALSE(reader.failed());
    }
    return found;
  }
  // The last frame of a kind; its views are valid until `forget`.
  [[nodiscard]] std::optional<Frame> last(FrameType type) const {
    std::optional<Frame> found;
    for (const auto& payload : payloads) {
      FrameReader reader(payload);
      for (Frame frame; reader.next(frame);) {
        if (frame.type == type) found = frame;
      }
    }
    return found;
  }
  void forget() {
    payloads.clear();
    numbers.clear();
    envelopes.clear();
    received.clear();
  }

  const SocketAddress address;
  // What RESPONSE says, but for the connection id, which is this peer's.
  ResponseBody offer;
  RequestDatagram request{};
  ResponseDatagram response{};
  AcceptBody accept{};
  ConnectionId remote_id;
  // Where it hears too.
  std::vector<SocketAddress> other_addresses;
  bool challenged = false;
  bool accepted = false;
  std::uint64_t next_number = 0;
  SessionKeys keys;
  KeyUpdate key_update{false};
  // Every datagram, and the frames of each packet, since the last `forget`.
  std::vector<std::vector<std::byte>> received;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<std::uint64_t> numbers;
  // Of each of `payloads`: where it went, to which id, and the size of its datagram.
  struct Envelope {
    SocketAddress to;
    ConnectionId id;
    std::size_t size;
  };
  std::vector<Envelope> envelopes;
  std::size_t packets = 0;
  // Of the last packet from the gateway, and those that it skipped on the way there.
  std::uint64_t last_number = 0;
  std::vector<std::uint64_t> missing;

 private:
  void take_challenge(Bytes datagram) {
    ChallengeBody body;
    REQUIRE(open_challenge(datagram, handshake_keys_.challenge, token_id(token_.sealed_private), share_.share,
                           body));
    challenge_ = body.plaintext;
    Nonce nonce{};
    random_.fill(nonce);
    offer.connection_id = own_id_;
    encode_response(response, request, body.cookie(), handshake_keys_.response, nonce, offer);
    challenged = true;
  }

  void take_accept(Bytes datagram) {
    REQUIRE(open_accept(datagram, handshake_keys_.accept, response_hash(response), accept));
    Secret<32> shared;
    REQUIRE(x25519(shared, share_.secret, std::span(challenge_).last<kShareSize>()));
    keys = SessionKeys::derive(session_prk(token_.client_to_server, token_.server_to_client, shared,
                                           accept.random, transcript(response, challenge_, datagram)),
                               false, 0);
    remote_id = accept.connection_id;
    accepted = true;
  }

  void take_packet(Bytes datagram) {
    std::vector<std::byte> copy(datagram.begin(), datagram.end());
    const auto header = decode_session_header(copy, own_id_.length);
    REQUIRE(header.has_value());
    const std::uint64_t expected = packets == 0 ? 0 : last_number + 1;
    const std::uint64_t number = expand_packet_number(expected, header->truncated_packet_number);
    const MutableBytes sealed = std::span(copy).subspan(header->size);
    ReceiveKey* const key = header->epoch_bits == (keys.epoch & 3U)
                                ? &keys.receive
                                : key_update.receive_key(header->epoch_bits, keys);
    REQUIRE(key != nullptr);
    REQUIRE(key->key.open_in_place(number, Bytes(copy).first(header->size), sealed));
    static_cast<void>(key_update.on_opened(*key, keys, world_.now, std::chrono::seconds(1)));
    for (std::uint64_t skipped = expected; skipped < number; ++skipped) missing.push_back(skipped);
    last_number = number;
    ++packets;
    payloads.emplace_back(sealed.begin(), sealed.end() - kTagSize);
    numbers.push_back(number);
    envelopes.push_back(
        {destination_, *ConnectionId::from(Bytes(copy).subspan(1, own_id_.length)), copy.size()});
  }

  World& world_;
  SeededRandom random_;
  PublicToken token_;
  KeyPair share_;
  ConnectionId own_id_;
  ChallengePlaintext challenge_{};
  HandshakeKeys handshake_keys_;
  Handle handle_;
  SocketAddress destination_;  // of the datagram being taken
};

inline SocketAddress rogue_address(std::uint8_t number) {
  return SocketAddress::ipv4({10, 0, 2, number}, 6000);
}

}  // namespace hawser::test
