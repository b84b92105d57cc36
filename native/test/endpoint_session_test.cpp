// The rules of docs/protocol.md sections 5, 6, 9 and 10 for peers that hold the keys and break them, and what
// the endpoint does when its output or the socket behind it is full.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "rogue_peer.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Connected {
  explicit Connected(EndpointOptions options = {}) : world(gateway_options(), options) { connect(); }

  void connect() {
    handle = peer.connect();
    peer.forget();
  }

  // The code with which the gateway has closed the connection, and that it told its user why.
  std::uint32_t closed_with(DisconnectResult result) {
    peer.turn();
    const auto disconnect = peer.last(FrameType::kDisconnect);
    REQUIRE(disconnect.has_value());
    const auto events = world.server->take_events();
    const Event* told = find_event(events, EventKind::kDisconnect);
    REQUIRE(told != nullptr);
    CHECK(told->argument == static_cast<std::uint32_t>(result));
    CHECK(world.server->endpoint.connected() == 0);
    return disconnect->disconnect.code;
  }
  void check_protocol_error() {
    CHECK(closed_with(DisconnectResult::kProtocolError) ==
          static_cast<std::uint32_t>(DisconnectCode::kProtocolError));
    CHECK(world.server->count(Counter::peersProtocolError) == 1);
  }
  void check_alive() {
    peer.turn();
    CHECK(peer.count(FrameType::kDisconnect) == 0);
    CHECK(world.server->endpoint.connected() == 1);
  }

  World world;
  RoguePeer peer{world, world.token(1), rogue_address(1), 11};
  Handle handle;
};

bool acknowledges(const AckFrame& ack, std::uint64_t number) {
  AckRangeReader ranges(ack);
  for (AckRange range{}; ranges.next(range);) {
    if (range.smallest <= number && number <= range.largest) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("PONG: at most 20 a second, each PING beyond that is counted") {
  Connected c;
  const std::uint64_t answered_before = c.world.server->count(Counter::dropPingRateLimited);
  for (std::uint16_t i = 1; i <= 200; ++i) {
    c.world.now += milliseconds(5);
    c.peer.send(Frames().ping(i));
    c.peer.turn();
  }
  const std::size_t pongs = c.peer.count(FrameType::kPong);
  CHECK(pongs >= 19);
  CHECK(pongs <= 20);
  CHECK(c.world.server->count(Counter::dropPingRateLimited) - answered_before == 200 - pongs);
}

TEST_CASE("a PONG waits up to 25 ms for the next message where messages are sent, and tells how long") {
  Connected c;
  const auto pass = [&](Duration step) {
    c.peer.forget();
    c.world.now += step;
    c.world.server->endpoint.advance(c.world.now);
    c.peer.turn();
  };
  const auto send = [&] {
    REQUIRE(c.world.server->endpoint.send(c.handle, 0, {}, {}, c.world.now) == SendStatus::kSent);
    c.peer.turn();
  };
  pass(seconds(1));
  send();
  const Instant asked = c.world.now;
  c.peer.send(Frames().ping(1));
  pass(milliseconds(24));
  CHECK(c.peer.count(FrameType::kPong) == 0);

  bool waits_again = false;
  SUBCASE("with the message in one packet, and the next PONG waits as well") {
    send();
    REQUIRE(c.peer.payloads.size() == 1);
    CHECK(c.peer.count(FrameType::kMessage) == 1);
    waits_again = true;
  }
  SUBCASE("alone when there is no message, and the next PONG does not wait") { pass(milliseconds(1)); }
  const auto pong = c.peer.last(FrameType::kPong);
  REQUIRE(pong.has_value());
  CHECK(pong->pong.delay == c.world.now - asked);
  CHECK(pong->pong.receive_time == static_cast<std::uint64_t>(asked.time_since_epoch().count()));

  pass(milliseconds(50));
  c.peer.send(Frames().ping(2));
  c.peer.turn();
  CHECK(c.peer.count(FrameType::kPong) == (waits_again ? 0 : 1));
}

TEST_CASE("PONGs that were kept back cause no PINGs, and those before the last one no round trip") {
  Connected c;
  std::vector<std::uint16_t> asked;
  // Takes what the gateway sends, and notes its PINGs.
  const auto turn = [&](Duration step) {
    c.world.now += step;
    c.world.server->endpoint.advance(c.world.now);
    c.peer.turn();
    for (const auto& payload : c.peer.payloads) {
      FrameReader reader(payload);
      for (Frame frame; reader.next(frame);) {
        if (frame.type == FrameType::kPing) asked.push_back(frame.ping.sequence);
      }
    }
    c.peer.forget();
  };
  // Answers nothing for 12 s, but is heard all the time.
  for (int i = 0; i < 120; ++i) {
    c.peer.send(Frames().message({}));
    turn(milliseconds(100));
  }
  std::vector<std::uint16_t> kept = asked;
  REQUIRE(kept.size() >= 8);
  SUBCASE("sent in their order") {}
  SUBCASE("sent in the opposite order") { std::ranges::reverse(kept); }
  const bool in_order = kept.front() < kept.back();
  const std::uint64_t unexpected = c.world.server->count(Counter::unexpectedPong);
  asked.clear();
  for (const std::uint16_t sequence : kept) {
    c.peer.send(Frames().pong(sequence, c.world.now));
    turn(milliseconds(50));
  }
  INFO(kept.size() << " PONGs");
  CHECK(asked.size() <= 1);
  CHECK(c.world.server->count(Counter::unexpectedPong) - unexpected == (in_order ? 0 : kept.size() - 1));
}

TEST_CASE("a PING that arrives while a packet is being filled is answered in the same turn") {
  Connected c;
  c.world.now += seconds(1);
  std::size_t length = 0;
  SUBCASE("with room left") { length = 10; }
  SUBCASE("without") { length = kMaxMessageSize; }
  const std::vector<std::byte> message(length);
  CHECK(c.world.server->endpoint.send(c.handle, 0, message, {}, c.world.now) == SendStatus::kSent);
  c.peer.send(Frames().ping(1).new_id(1, 0x11));
  c.peer.turn();
  CHECK(c.peer.count(FrameType::kMessage) == 1);
  CHECK(c.peer.count(FrameType::kPong) == 1);
  CHECK(c.peer.count(FrameType::kAck) == 1);
}

TEST_CASE("ACK: of a skipped number, or of one never sent, closes") {
  Connected c;
  while (c.peer.missing.empty()) {
    c.world.now += milliseconds(1);
    REQUIRE(c.world.server->endpoint.send(c.handle, 0, bytes_of("x"), {}, c.world.now) == SendStatus::kSent);
    c.peer.turn();
    REQUIRE(c.peer.last_number < 1'300);
  }
  const std::uint64_t skipped = c.peer.missing.back();
  SUBCASE("what was received may be acknowledged") {
    c.peer.send(Frames().ack(skipped + 1, c.peer.last_number));
    c.check_alive();
  }
  SUBCASE("skipped") {
    c.peer.send(Frames().ack(skipped, c.peer.last_number));
    c.check_protocol_error();
  }
  SUBCASE("never sent") {
    c.peer.send(Frames().ack(c.peer.last_number + 1, c.peer.last_number + 1));
    c.check_protocol_error();
  }
}

TEST_CASE("the count of packets sent leaves out the numbers that were skipped") {
  Connected c;
  for (int i = 0; i < 3'000; ++i) {
    c.world.now += milliseconds(1);
    REQUIRE(c.world.server->endpoint.send(c.handle, 0, bytes_of("x"), {}, c.world.now) == SendStatus::kSent);
    c.peer.turn();
  }
  CHECK(c.peer.missing.size() >= 2);
  CHECK(c.world.server->endpoint.status(c.handle, c.world.now)->packets_sent == c.peer.packets);
}

TEST_CASE("NEW_ID: two spares, no third, in any order; the same sequence always with the same id") {
  Connected c;
  c.peer.send(Frames().new_id(2, 0x22));
  c.peer.send(Frames().new_id(1, 0x11));
  c.check_alive();
  SUBCASE("repeated") {
    c.peer.send(Frames().new_id(2, 0x22));
    c.check_alive();
  }
  SUBCASE("a third spare") {
    c.peer.send(Frames().new_id(3, 0x33));
    c.check_protocol_error();
  }
  SUBCASE("another id of a known sequence") {
    c.peer.send(Frames().new_id(1, 0x12));
    c.check_protocol_error();
  }
}

TEST_CASE("RETIRE_ID is answered by NEW_ID, and the retired id is unknown from then on") {
  Connected c;
  c.world.now += seconds(1);
  c.peer.send(Frames().retire_id(1));
  c.peer.turn();
  const auto offered = c.peer.last(FrameType::kNewId);
  REQUIRE(offered.has_value());
  CHECK(offered->new_id.sequence == 3);
  CHECK(offered->new_id.reset_token ==
        reset_token(gateway_options().reset_key, offered->new_id.connection_id.view()));
  // The new one is as good as the first.
  c.peer.forget();
  c.world.now += seconds(1);
  c.peer.deliver(c.peer.seal(Frames().retire_id(0).view(), offered->new_id.connection_id));
  c.peer.turn();
  CHECK(c.peer.count(FrameType::kNewId) >= 1);
  CHECK(c.world.server->endpoint.connected() == 1);
  const std::uint64_t unknown = c.world.server->count(Counter::dropUnknownConnection);
  c.peer.send(Frames().ping(9));  // to the id of the handshake, which is retired
  CHECK(c.world.server->count(Counter::dropUnknownConnection) == unknown + 1);
}

TEST_CASE("RETIRE_ID: again changes nothing; of the carrying id, or of one never issued, closes") {
  Connected c;
  SUBCASE("again") {
    c.peer.send(Frames().retire_id(1));
    c.peer.send(Frames().retire_id(1));
    c.check_alive();
    const auto offered = c.peer.last(FrameType::kNewId);
    REQUIRE(offered.has_value());
    CHECK(offered->new_id.sequence == 3);
  }
  SUBCASE("carrying") {
    c.peer.send(Frames().retire_id(0));
    c.check_protocol_error();
  }
  SUBCASE("never issued") {
    c.peer.send(Frames().retire_id(3));
    c.check_protocol_error();
  }
}

TEST_CASE("a peer that retires ids without acknowledging the new ones is closed, not served for ever") {
  Connected c;
  for (std::uint64_t sequence = 1; c.world.server->endpoint.connected() == 1; ++sequence) {
    REQUIRE(sequence < 100);
    c.peer.send(Frames().retire_id(sequence));
  }
  c.check_protocol_error();
}

TEST_CASE("GOAWAY is told once, however often it comes, and only to a client") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(own);
  // No ACK gets through: the gateway repeats itself.
  world.filter = [](const Sent& sent) { return sent.from == kServerAddress; };
  CHECK(world.server->endpoint.goaway(other, 7, milliseconds(1'500), kSecondServerAddress, seconds(30)));
  world.run(seconds(3));
  CHECK(world.server->count(Counter::controlFramesRepeated) >= 2);
  const auto events = world.client->take_events();
  REQUIRE(count_events(events, EventKind::kGoaway) == 1);
  const Event* goaway = find_event(events, EventKind::kGoaway);
  CHECK(load_little_endian<std::uint32_t>(goaway->bytes.data()) == 7);
  CHECK(load_little_endian<std::uint32_t>(goaway->bytes.data() + 4) == 1'500);
  CHECK(load_little_endian<std::uint32_t>(goaway->bytes.data() + 8) == 30'000);
  CHECK(read_address_record(std::span(goaway->bytes).subspan<12, kAddressRecordSize>()) ==
        kSecondServerAddress);
  CHECK_FALSE(world.server->endpoint.goaway(other, 0, milliseconds(1), SocketAddress::ipv4({1, 2, 3, 4}, 0)));
  CHECK_FALSE(world.client->endpoint.goaway(own, 0, milliseconds(1), SocketAddress()));
}

TEST_CASE("a client hears the GOAWAY of a turn before the disconnect of the same turn") {
  for (const bool stops : {false, true}) {
    for (const int size : {0, 1, 1'100, 1'158}) {
      CAPTURE(stops);
      CAPTURE(size);
      World world;
      const auto [own, other] = world.connected();
      static_cast<void>(own);
      Endpoint& server = world.server->endpoint;
      // The open packet may have no room for the GOAWAY.
      const std::vector<std::byte> message(static_cast<std::size_t>(size));
      REQUIRE(server.send(other, 0, message, {}, world.now) == SendStatus::kSent);
      REQUIRE(server.goaway(other, 7, milliseconds(0), kSecondServerAddress));
      if (stops) {
        server.stop(9, "bye", world.now);
      } else {
        REQUIRE(server.disconnect(other, 9, "bye", world.now));
      }
      world.run(seconds(1));
      const auto events = world.client->take_events();
      const Event* const goaway = find_event(events, EventKind::kGoaway);
      const Event* const end = find_event(events, EventKind::kDisconnect);
      REQUIRE(goaway != nullptr);
      REQUIRE(end != nullptr);
      CHECK(goaway < end);
    }
  }
}

TEST_CASE("a client that sends GOAWAY breaks a rule, and the user of the gateway hears of no GOAWAY") {
  Connected c;
  c.peer.send(Frames().goaway());
  const auto queue = c.world.server->peek_events();
  CHECK(std::none_of(queue.begin(), queue.end(),
                     [](const EventDescriptor& event) { return event.kind() == EventKind::kGoaway; }));
  c.check_protocol_error();
}

TEST_CASE("frames that break a rule close with PROTOCOL_ERROR") {
  const std::vector<std::vector<std::uint8_t>> broken = {
      {0x04},                          // kept for later
      {0x09},                          //
      {0x20},                          //
      {0xff},                          // unknown
      {0x01, 0x00},                    // PING beyond the end
      {0x12, 0x05, 'a'},               // MESSAGE beyond the end
      {0x11, 0x44, 0x00, 'a'},         // channel 1,024
      {0x03, 0x00, 0x00, 0x00, 0x01},  // ACK below zero
      {0x07, 0x01, 0x03, 1, 2, 3},     // NEW_ID with an id of 3 bytes
  };
  for (const auto& bytes : broken) {
    Connected c;
    c.peer.send(Frames().raw(std::as_bytes(std::span(bytes))));
    c.check_protocol_error();
  }
}

TEST_CASE("a message on an undeclared channel is a protocol error, and none can be sent") {
  Connected c;
  CHECK(c.world.server->endpoint.send(c.handle, 1, bytes_of("x"), {}, c.world.now) ==
        SendStatus::kInvalidChannel);
  c.check_alive();
  c.peer.send(Frames().message(bytes_of("x"), 1));
  c.check_protocol_error();
}

TEST_CASE("the longest unreliable message fits into a datagram") {
  Connected c;
  CHECK(c.world.server->endpoint.send(c.handle, 0, std::vector<std::byte>(kMaxMessageSize), {},
                                      c.world.now) == SendStatus::kSent);
  CHECK(c.world.server->endpoint.send(c.handle, 0, std::vector<std::byte>(kMaxSentDatagram), {},
                                      c.world.now) == SendStatus::kTooLong);
  c.peer.turn();
  for (const auto& datagram : c.peer.received) CHECK(datagram.size() <= kMaxSentDatagram);
}

TEST_CASE("a datagram of more than 9,216 bytes is dropped") {
  Connected c;
  std::vector<std::byte> frames(kMaxReceivedDatagram);
  frames[0] = std::byte{0x10};
  c.peer.deliver(c.peer.seal(frames, c.peer.remote_id));
  CHECK(c.world.server->count(Counter::dropLength) == 1);
  CHECK(c.world.server->count(Counter::messagesReceived) == 0);
}

TEST_CASE("peer ceilings: what is above is dropped and never acknowledged") {
  EndpointOptions options;
  std::size_t size = 1;
  SUBCASE("packets") { options.max_packets_per_second = 10; }
  SUBCASE("bytes") {
    options.max_bytes_per_second = 3'000;
    options.max_datagram = 1'200;
    size = 268;  // 300 bytes a packet
  }
  Connected c(options);
  c.world.now += seconds(2);
  const std::vector<std::byte> message(size);
  for (int i = 0; i < 30; ++i) c.peer.send(Frames().message(message));
  CHECK(c.world.server->count(Counter::messagesReceived) == 10);
  CHECK(c.world.server->count(Counter::dropPeerCeiling) == 20);
  const std::uint64_t lost = c.peer.next_number;
  c.peer.send(Frames().new_id(1, 0x11));
  c.world.now += seconds(1);
  const std::uint64_t taken = c.peer.next_number;
  c.peer.send(Frames().new_id(2, 0x22));
  c.peer.turn();
  const auto ack = c.peer.last(FrameType::kAck);
  REQUIRE(ack.has_value());
  CHECK(acknowledges(ack->ack, taken));
  CHECK_FALSE(acknowledges(ack->ack, lost));
  CHECK(c.world.server->endpoint.connected() == 1);
}

TEST_CASE("peer ceilings: set while a peer is there they count for it at once, and can be lifted") {
  EndpointOptions options;
  options.max_datagram = 1'200;
  Connected c(options);
  c.world.now += seconds(2);
  Endpoint& server = c.world.server->endpoint;
  std::size_t size = 1;
  const auto send = [&](int count) {
    const std::vector<std::byte> message(size);
    for (int i = 0; i < count; ++i) c.peer.send(Frames().message(message));
  };
  const auto taken = [&] { return c.world.server->count(Counter::messagesReceived); };
  const auto dropped = [&] { return c.world.server->count(Counter::dropPeerCeiling); };
  send(30);
  CHECK(taken() == 30);
  SUBCASE("packets") { server.set_ceilings(10, 0, c.world.now); }
  SUBCASE("bytes") {
    size = 268;  // 300 bytes a packet
    server.set_ceilings(0, 3'000, c.world.now);
  }
  send(30);
  CHECK(taken() == 40);
  CHECK(dropped() == 20);
  // A second later there is as much again.
  c.world.now += seconds(1);
  send(30);
  CHECK(taken() == 50);
  CHECK(dropped() == 40);
  server.set_ceilings(0, 0, c.world.now);
  send(30);
  CHECK(taken() == 80);
  CHECK(dropped() == 40);
  CHECK(server.connected() == 1);
}

TEST_CASE("packets from another address: authentic ones count, failures are budgeted, the address stays") {
  Connected c;
  const SocketAddress stranger = SocketAddress::ipv4({10, 9, 9, 9}, 9);
  c.peer.deliver_from(stranger, c.peer.seal(Frames().message(bytes_of("moved"))));
  CHECK(c.world.server->count(Counter::messagesReceived) == 1);
  CHECK(c.world.server->endpoint.status(c.handle, c.world.now)->remote == c.peer.address);
  // At one instant: the bursts of the prefix, the peer and the endpoint.
  constexpr std::uint64_t kBurst =
      ForeignBudget::kPerPrefix + ForeignBudget::kPerPeerAndPrefix + ForeignBudget::kSharedBurst;
  std::vector<std::byte> forged = c.peer.seal(Frames().message(bytes_of("forged")));
  forged.back() ^= std::byte{1};
  for (std::uint64_t i = 0; i < kBurst + 5; ++i) c.peer.deliver_from(stranger, forged);
  CHECK(c.world.server->count(Counter::dropAuthentication) == kBurst);
  CHECK(c.world.server->count(Counter::dropForeignBudget) == 5);
  c.peer.send(Frames().message(bytes_of("still here")));
  CHECK(c.world.server->count(Counter::messagesReceived) == 2);
  c.world.now += seconds(1);
  c.peer.deliver_from(stranger, c.peer.seal(Frames().message(bytes_of("moved"))));
  CHECK(c.world.server->count(Counter::messagesReceived) == 3);
}

TEST_CASE("path MTU: a probe that the system refuses fails at once, and nothing else does") {
  World world;
  const auto [own, other] = world.connected();
  world.run(seconds(1));
  Endpoint& client = world.client->endpoint;
  // Returns the sizes that are sent, of probes only.
  std::optional<OutgoingDatagram> probe;
  const auto flush = [&] {
    std::vector<std::size_t> sizes;
    client.flush(world.now);
    for (const OutgoingDatagram& datagram : client.output()) {
      if (datagram.bytes.size() <= 1'200) continue;
      sizes.push_back(datagram.bytes.size());
      probe = datagram;
    }
    return sizes;
  };
  using Sizes = std::vector<std::size_t>;
  REQUIRE(client.send(own, 0, std::vector<std::byte>(1'300), {}, world.now) == SendStatus::kTooLong);
  REQUIRE(flush() == Sizes{1'472});
  SUBCASE("the probe") {
    client.output_too_long(*probe, world.now);
    client.output_sent(client.output().size());
    CHECK(client.next_deadline() <= world.now);
    CHECK(flush() == Sizes{1'432});
    CHECK(client.status(own, world.now)->max_datagram == 1'200);
    return;
  }
  OutgoingDatagram refused = *probe;
  SUBCASE("another datagram of that size") { refused.probing_slot = kNoProbe; }
  SUBCASE("a probe of a path that is not the peer's any more") { refused.remote.port += 1; }
  SUBCASE("a probe of a peer that is gone") { refused.probing_slot = 77; }
  SUBCASE("a probe of another size") { refused.bytes = refused.bytes.first(1'471); }
  client.output_too_long(refused, world.now);
  client.output_sent(client.output().size());
  CHECK(flush().empty());
}

TEST_CASE("RESET: shorter than what provoked it, once per prefix in 100 ms, 100 a second in all") {
  World world;
  const auto provoke = [&](std::size_t size, const SocketAddress& from) {
    std::vector<std::byte> packet(size, std::byte{0x55});
    packet[0] = std::byte{kSessionByte};
    world.deliver(Sent{from, kServerAddress, packet});
    return sent_by(*world.server, world.now);
  };
  const SocketAddress near = SocketAddress::ipv4({10, 9, 9, 1}, 9);
  const auto first = provoke(kSessionOverhead + 8 + 1, near);
  REQUIRE(first.size() == 1);
  CHECK(first[0].to == near);
  CHECK(first[0].bytes.size() < kSessionOverhead + 8 + 1);
  CHECK(provoke(100, SocketAddress::ipv4({10, 9, 9, 2}, 9)).empty());
  world.now += milliseconds(99);
  CHECK(provoke(100, near).empty());
  world.now += milliseconds(1);
  CHECK(provoke(100, near).size() == 1);
  // Too short to be a session packet, a RESET itself, and handshakes: no answer.
  world.now += seconds(1);
  CHECK(provoke(kSessionOverhead + 8, near).empty());
  world.deliver(Sent{near, kServerAddress, first[0].bytes});
  CHECK(world.server->count(Counter::dropReflected) == 1);
  for (const std::uint8_t kind : {kRequestByte, kChallengeByte, kResponseByte, kAcceptByte, kDeniedByte}) {
    std::vector<std::byte> datagram(1'200, std::byte{0x55});
    datagram[0] = std::byte{kind};
    world.deliver(Sent{near, kServerAddress, datagram});
  }
  CHECK(sent_by(*world.server, world.now).empty());
  std::size_t answers = 0;
  for (std::uint32_t i = 0; i < 4'000; ++i) {
    const auto third = static_cast<std::uint8_t>(i / 200);
    const auto second = static_cast<std::uint8_t>(i % 200);
    answers += provoke(100, SocketAddress::ipv4({11, second, third, 1}, 9)).size();
  }
  CHECK(answers == 100);
}

TEST_CASE("DISCONNECT carries the gateway's spread, 0 by default") {
  Connected c;
  milliseconds spread{0};
  SUBCASE("by default") { c.world.server->endpoint.disconnect(c.handle, 0x10000, {}, c.world.now); }
  SUBCASE("by choice") {
    spread = milliseconds(0xffffffff);
    c.world.server->endpoint.disconnect(c.handle, 0x10000, {}, c.world.now, spread);
  }
  c.peer.turn();
  const auto disconnect = c.peer.last(FrameType::kDisconnect);
  REQUIRE(disconnect.has_value());
  CHECK(disconnect->disconnect.reconnect_spread == spread);
}

TEST_CASE("a client that tells a spread is not believed") {
  Connected c;
  c.peer.send(Frames().disconnect(0x10000, seconds(5)));
  const auto events = c.world.server->take_events();
  const Event* told = find_event(events, EventKind::kDisconnect);
  REQUIRE(told != nullptr);
  CHECK(code_of(*told) == 0x10000);
  CHECK(reconnect_spread_of(*told) == milliseconds(0));
}

TEST_CASE("a reason is cut at the end of a whole character") {
  Connected c;
  std::string reason(254, 'a');
  reason += "\u20ac";  // three bytes: 257 in all
  c.world.server->endpoint.disconnect(c.handle, 0x10000, reason, c.world.now);
  c.peer.turn();
  const auto disconnect = c.peer.last(FrameType::kDisconnect);
  REQUIRE(disconnect.has_value());
  CHECK(disconnect->disconnect.reason.size() == 254);
}

TEST_CASE("output full: an accepted message is never lost, and drain follows as soon as there is room") {
  EndpointOptions options;
  options.max_output_packets = 8;
  Connected c(options);
  c.world.server->take_events();
  const std::vector<std::byte> message(500);
  std::size_t accepted = 0;
  SendStatus status = SendStatus::kSent;
  while ((status = c.world.server->endpoint.send(c.handle, 0, message, {}, c.world.now)) ==
         SendStatus::kSent) {
    ++accepted;
  }
  CHECK(status == SendStatus::kOutputFull);
  CHECK_FALSE(c.world.server->endpoint.writable());
  // Flushing does not help as long as the socket takes nothing.
  c.world.server->endpoint.flush(c.world.now);
  CHECK(c.world.server->endpoint.send(c.handle, 0, message, {}, c.world.now) == SendStatus::kOutputFull);
  CHECK(count_events(c.world.server->take_events(), EventKind::kDrain) == 0);
  std::vector<Sent> sent;
  for (auto output = c.world.server->endpoint.output(); !output.empty();
       output = c.world.server->endpoint.output()) {
    for (const auto& datagram : output)
      sent.push_back({kServerAddress, datagram.remote, {datagram.bytes.begin(), datagram.bytes.end()}});
    c.world.server->endpoint.output_sent(output.size());
  }
  CHECK(count_events(c.world.server->take_events(), EventKind::kDrain) == 1);
  c.peer.take(sent);
  c.peer.turn();
  CHECK(c.peer.count(FrameType::kMessage) == accepted);
  CHECK(c.world.server->endpoint.writable());
}

TEST_CASE("output full: what is due waits for room and then leaves at once, numbered as it is sent") {
  EndpointOptions options;
  options.max_output_packets = 8;
  Connected c(options);
  RoguePeer other(c.world, c.world.token(2), rogue_address(2), 12);
  const Handle other_handle = other.connect();
  c.world.now += seconds(1);
  const std::size_t packets = c.peer.packets;
  CHECK(c.world.server->endpoint.send(c.handle, 0, bytes_of("open"), {}, c.world.now) == SendStatus::kSent);
  const std::vector<std::byte> message(1'000);
  while (c.world.server->endpoint.send(other_handle, 0, message, {}, c.world.now) == SendStatus::kSent) {
  }
  c.peer.send(Frames().ping(5).retire_id(1));
  const auto before = sent_by(*c.world.server, c.world.now);
  CHECK(before.size() == 8);
  c.peer.take(before);
  CHECK(c.peer.packets == packets);
  CHECK(c.world.server->endpoint.next_deadline() <= c.world.now);
  c.peer.turn();
  CHECK(c.peer.count(FrameType::kMessage) == 1);
  CHECK(c.peer.count(FrameType::kPong) == 1);
  const auto offered = c.peer.last(FrameType::kNewId);
  REQUIRE(offered.has_value());
  CHECK(offered->new_id.sequence == 3);
  CHECK(acknowledges(c.peer.last(FrameType::kAck)->ack, c.peer.next_number - 1));
}

TEST_CASE("output full: what was sent before a disconnect still arrives, in one packet with it") {
  EndpointOptions options;
  options.max_output_packets = 8;
  Connected c(options);
  RoguePeer other(c.world, c.world.token(2), rogue_address(2), 12);
  const Handle other_handle = other.connect();
  c.world.now += seconds(1);
  c.peer.forget();
  CHECK(c.world.server->endpoint.send(c.handle, 0, bytes_of("last words"), {}, c.world.now) ==
        SendStatus::kSent);
  const std::vector<std::byte> message(1'000);
  while (c.world.server->endpoint.send(other_handle, 0, message, {}, c.world.now) == SendStatus::kSent) {
  }
  CHECK(c.world.server->endpoint.disconnect(c.handle, 0x10001, {}, c.world.now));
  CHECK(sent_by(*c.world.server, c.world.now).size() == 8);
  c.peer.turn();
  CHECK(c.peer.payloads.size() == 1);
  CHECK(c.peer.count(FrameType::kMessage) == 1);
  CHECK(c.peer.count(FrameType::kDisconnect) == 1);
}

TEST_CASE("a socket that takes nothing costs few timers, and does not hold up the end") {
  EndpointOptions options;
  options.max_output_packets = 8;
  Connected c(options);
  const std::vector<std::byte> message(1'000);
  while (c.world.server->endpoint.send(c.handle, 0, message, {}, c.world.now) == SendStatus::kSent) {
  }
  c.peer.send(Frames().retire_id(1));
  const std::uint64_t before = c.world.server->count(Counter::timersFired);
  const auto run = [&](Duration duration) {
    for (const Instant end = c.world.now + duration; c.world.now < end;) {
      c.world.now += milliseconds(1);
      c.world.server->endpoint.advance(c.world.now);
      c.world.server->endpoint.flush(c.world.now);
    }
  };
  run(seconds(1));
  CHECK(c.world.server->count(Counter::timersFired) - before <= 110);
  c.world.server->endpoint.stop(3, {}, c.world.now);
  run(milliseconds(1'100));
  CHECK(c.world.server->endpoint.state() == SocketState::kStopped);
}

TEST_CASE("a keep-alive costs two timers on the side that sends it and one on the other") {
  World world;
  world.connected();
  world.run(seconds(40));
  const auto timers = [&] {
    return world.client->count(Counter::timersFired) + world.server->count(Counter::timersFired);
  };
  const auto pings = [&] {
    return world.client->count(Counter::pingsSent) + world.server->count(Counter::pingsSent);
  };
  const std::uint64_t timers_before = timers();
  const std::uint64_t pings_before = pings();
  world.run(seconds(40));
  CHECK(pings() - pings_before >= 11);
  CHECK(timers() - timers_before <= 3 * (pings() - pings_before) + 1);
}

TEST_CASE("connection ids carry the server index and never come twice, spares included") {
  EndpointOptions options;
  options.server_index = 0xab;
  World world(gateway_options(), options);
  std::vector<ConnectionId> ids;
  for (std::uint8_t i = 0; i < 50; ++i) {
    world.now += milliseconds(1);
    RoguePeer peer(world, world.token(i), rogue_address(i), i);
    peer.connect();
    ids.push_back(peer.remote_id);
    for (const auto& payload : peer.payloads) {
      FrameReader reader(payload);
      for (Frame frame; reader.next(frame);) {
        if (frame.type == FrameType::kNewId) ids.push_back(frame.new_id.connection_id);
      }
    }
  }
  REQUIRE(ids.size() == 150);
  const auto before = [](const ConnectionId& a, const ConnectionId& b) { return a.bytes < b.bytes; };
  std::sort(ids.begin(), ids.end(), before);
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
  for (const ConnectionId& id : ids) {
    CHECK(id.length == 8);
    CHECK(id.bytes[0] == std::byte{0xab});
  }
}

TEST_CASE("no key meets a packet number twice, whatever is sent and repeated") {
  Connected c;
  std::vector<std::vector<std::byte>> headers;
  for (int i = 0; i < 300; ++i) {
    c.world.now += milliseconds(7);
    c.world.server->endpoint.advance(c.world.now);
    if (i % 3 == 0) c.peer.send(Frames().retire_id(static_cast<std::uint64_t>(i) / 90 + 1));
    if (i % 5 == 0) c.world.server->endpoint.send(c.handle, 0, bytes_of("x"), {}, c.world.now);
    c.peer.forget();
    c.peer.turn();
    for (const auto& datagram : c.peer.received)
      headers.emplace_back(datagram.begin(), datagram.begin() + session_header_size(8));
  }
  CHECK(headers.size() > 60);
  std::sort(headers.begin(), headers.end());
  CHECK(std::adjacent_find(headers.begin(), headers.end()) == headers.end());
}
