// A gateway and a peer that holds the keys and sends whatever the input says as the frames of its packets,
// with time, messages to it and pauses between them. Whatever it sends, the gateway's memory stays within its
// bounds, its user is told of one end for each beginning, and nothing is left behind.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "crypto/sodium.hpp"
#include "fuzz/endpoint_support.hpp"

namespace {

using namespace hawser;        // NOLINT(google-build-using-namespace): a fuzz target
using namespace hawser::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target

class World {
 public:
  World() : gateway_(gateway_options(), random_) {
    EndpointOptions options;
    options.mode = Mode::kServer;
    options.max_sessions = 8;
    options.max_output_packets = 64;
    options.channels = channels();
    options.credit = kCredit;
    options.channel_credit = kChannelCredit;
    options.max_reassembly_bytes = kMemory;
    options.high_water_bytes = 4096;
    options.max_queued_bytes = 4 * kLongest;
    endpoint_ = std::make_unique<Endpoint>(options, &gateway_, random_, node_.events,
                                           Counters(node_.counters), kStart);
    endpoint_->set_wall_clock(kStart, kStartWall);
  }

  // A new peer takes the place of the one before, if there is a place for it.
  void connect() {
    // The handshake's budget is not the subject.
    now_ += std::chrono::milliseconds(10);
    next_number_ = 0;
    ResponseBody offer;
    offer.features = kFeatureChannels;
    offer.connection_id.length = 8;
    offer.credit = offer.channel_credit = 64 * 1024;
    offer.channels = digest();
    receive(holder_.begin(mint(1, false, random_), offer));
    turn();
    // Confirms: a PING.
    packet(std::array{std::byte{1}, std::byte{0}, std::byte{0}});
    turn();
  }

  // Sends a packet with these frames.
  void packet(Bytes frames) {
    if (!holder_.accepted()) return;
    receive(seal(holder_.keys.send, 0, holder_.remote_id, next_number_++, frames));
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
    require(node_.count(Counter::reassemblyBytesPeak) <= kMemory);
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
    require(paused_ || node_.count(Counter::reassemblyBytes) == 0);
  }

  void finish() {
    endpoint_->stop(0, {}, now_);
    for (int i = 0; i < 300 && endpoint_->state() != SocketState::kStopped; ++i)
      turn(std::chrono::milliseconds(10));
    require(endpoint_->state() == SocketState::kStopped);
    turn();
    require(connected_ == ended_);
    require(node_.count(Counter::reassemblyBytes) == 0);
    require(node_.count(Counter::sendQueueBytes) == 0);
  }

 private:
  static constexpr std::size_t kMemory = 8 * kCredit;

  void receive(Bytes bytes) {
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    endpoint_->receive(ReceivedDatagram{copy, kClientAddress, kServerAddress, 0}, now_);
    drain();
  }

  void take(Bytes datagram) {
    const Bytes answer = holder_.take(datagram);
    if (answer.empty()) return;
    receive(answer);
    turn();
  }

  void drain() {
    for (const EventDescriptor& event : node_.events.descriptors()) {
      const Handle peer{event.slot, event.generation};
      if (event.kind() == EventKind::kConnect) {
        handle_ = peer;
        ++connected_;
      }
      if (event.kind() == EventKind::kDisconnect) ++ended_;
    }
    node_.events.clear();
  }

  SeededRandom random_{7};
  Node node_;
  GatewayState gateway_;
  std::unique_ptr<Endpoint> endpoint_;
  KeyHolder holder_{random_};
  Handle handle_;
  Instant now_ = kStart;
  std::uint64_t next_number_ = 0;
  std::uint32_t confirm_ = 0;
  std::size_t connected_ = 0;
  std::size_t ended_ = 0;
  // A channel was paused, of whatever peer.
  bool paused_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (!initialise() || size > 8192) return 0;
  World world;
  world.connect();
  ByteReader script(input(data, size));
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
