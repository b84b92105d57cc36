// Clients whose address changes (docs/protocol.md section 14).
#include <algorithm>
#include <utility>

#include "engine/endpoint.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

std::array<std::byte, kPathFrameSize> path_frame(const PathData& data,
                                                 bool (*write)(ByteWriter&, const PathData&)) {
  std::array<std::byte, kPathFrameSize> frame{};
  ByteWriter writer(frame);
  static_cast<void>(write(writer, data));
  return frame;
}

}  // namespace

// ---- the server

// Judges where an authenticated packet came from, before its frames. `newest`: no packet before it had a
// higher number.
void Endpoint::follow_path(Peer& peer, const ReceivedDatagram& datagram, bool newest, Instant now) {
  if (options_.mode != Mode::kServer || peer.phase != PeerPhase::kConnected ||
      (peer.features & kFeatureRoaming) == 0) {
    return;
  }
  if (peer.path_validation) {
    judge_move(peer, peer.path_validation->on_packet(datagram.remote, datagram.bytes.size(), newest, now),
               now);
    if (peer.path_validation->challenge_due(now)) challenge_paths(peer, now);
  }
  if (!newest || datagram.remote == peer.remote) return;
  if (peer.path_validation && !peer.path_validation->gives_way_to(datagram.remote)) return;
  if (peer.path_validation) end_move(peer);
  const ReceivedId* const spare = spare_id(peer);
  PathData candidate_data{};
  PathData current_data{};
  random_.fill(candidate_data);
  random_.fill(current_data);
  peer.path_validation = std::make_unique<PathValidation>(
      current_path(peer),
      NetworkPath{datagram.remote, datagram.local, spare != nullptr ? spare->id : peer.remote_id},
      datagram.bytes.size(), candidate_data, current_data, peer.round_trip.pto(), now);
  counters_.add(Counter::movesBegun);
  challenge_paths(peer, now);
  schedule(peer);
}

void Endpoint::judge_move(Peer& peer, PathValidation::Verdict verdict, Instant now) {
  switch (verdict) {
    case PathValidation::Verdict::kNothing:
      return;
    case PathValidation::Verdict::kMoved:
      counters_.add(Counter::movesCompleted);
      change_path(peer, peer.path_validation->candidate(), now);
      break;
    case PathValidation::Verdict::kCancelled:
      counters_.add(Counter::movesCancelled);
      break;
    case PathValidation::Verdict::kReturned:
      counters_.add(Counter::movesCancelled);
      change_path(peer, peer.path_validation->former(), now);
      break;
  }
  schedule(peer);
}

void Endpoint::challenge_paths(Peer& peer, Instant now) {
  PathValidation& move = *peer.path_validation;
  std::size_t sent = 0;
  if (move.phase() == PathValidation::Phase::kValidating) {
    const std::size_t least = kSessionOverhead + move.candidate().id.length + kPathFrameSize;
    const std::size_t size = move.allowance() >= kMaxSentDatagram ? kMaxSentDatagram : least;
    if (move.allowance() >= size)
      sent = send_alone(peer, path_frame(move.candidate_data(), write_path_challenge), size, move.candidate(),
                        now);
  }
  move.on_challenged(sent, now);
  // Without room there it is as good as lost on the way.
  static_cast<void>(
      send_alone(peer, path_frame(move.former_data(), write_path_challenge), 0, move.former(), now));
}

void Endpoint::on_path_timer(Peer& peer, Instant now) {
  if (peer.path_validation->over(now)) {
    end_move(peer);
  } else if (peer.path_validation->challenge_due(now)) {
    challenge_paths(peer, now);
  }
}

// The move is settled, failed, forgotten, or gives way to another.
void Endpoint::end_move(Peer& peer) {
  const std::unique_ptr<PathValidation> move = std::move(peer.path_validation);
  if (move->phase() == PathValidation::Phase::kValidating) counters_.add(Counter::movesFailed);
  // Not before: what was on its way to the former path is still to be understood there.
  if (move->phase() == PathValidation::Phase::kWatching && move->former().id != peer.remote_id)
    static_cast<void>(retire_id(peer, move->former().id));
}

bool Endpoint::process_path_response(Peer& peer, const PathFrame& frame, Instant now) {
  if (options_.mode != Mode::kServer || (peer.features & kFeatureRoaming) == 0) return false;
  // It may answer a challenge of a move that is over.
  if (peer.path_validation) judge_move(peer, peer.path_validation->on_response(frame.data, now), now);
  return true;
}

void Endpoint::change_path(Peer& peer, const NetworkPath& path, Instant now) {
  const bool fresh = !path.same_hosts(current_path(peer));
  peer.remote = path.remote;
  peer.local = path.local;
  peer.remote_id = path.id;
  on_path_changed(peer, fresh, now);
  // Acknowledgements went to the address before while this one was validated. Without another one the client
  // would wait for a probe timeout.
  if (peer.transfer) peer.ack_pending = peer.ack_now = true;
}

// ---- the client

bool Endpoint::process_path_challenge(Peer& peer, const PathFrame& frame) {
  if (options_.mode != Mode::kClient || (peer.features & kFeatureRoaming) == 0) return false;
  // Whoever forwards a challenge that was sent elsewhere would have it answered for that address.
  if (peer.foreign_packet) return true;
  const auto waiting = std::span(peer.path_responses).first(peer.path_response_count);
  if (std::ranges::find(waiting, frame.data) != waiting.end()) return true;
  if (waiting.size() == kMaxPathResponses) --peer.path_response_count;
  peer.path_responses[peer.path_response_count++] = frame.data;
  mark_dirty(peer);
  return true;
}

// False when some are left for want of room.
bool Endpoint::answer_challenges(Peer& peer, Instant now) {
  if (peer.phase != PeerPhase::kConnected) peer.path_response_count = 0;
  for (; peer.path_response_count > 0; --peer.path_response_count) {
    if (output_.full() || buffers_.in_use() == buffers_.max()) return false;
    // At the end of the key it is not sent, and the connection ends.
    static_cast<void>(
        send_alone(peer, path_frame(peer.path_responses[peer.path_response_count - 1U], write_path_response),
                   kMaxSentDatagram, current_path(peer), now));
  }
  return true;
}

void Endpoint::rebound(Instant now) {
  peers_.for_each([&](Peer& peer) {
    if (peer.attempt && peer.attempt->aborted) return;
    switch (peer.phase) {
      case PeerPhase::kRequesting:
        peer.attempt->next_send = now;
        schedule(peer);
        break;
      case PeerPhase::kResponding:
        start_attempt(peer, now);
        break;
      case PeerPhase::kConfirming:
        peer.ping_due = true;
        mark_dirty(peer);
        break;
      case PeerPhase::kConnected: {
        const ReceivedId* const spare = spare_id(peer);
        const ConnectionId next = spare != nullptr ? spare->id : peer.remote_id;
        if (next != peer.remote_id && retire_id(peer, peer.remote_id)) peer.remote_id = next;
        on_path_changed(peer, true, now);
        break;
      }
      default:
        // What is ending goes on: its packets are repeated.
        break;
    }
  });
}

// ---- both

// What the handshake has settled; the addresses are known. `max_datagram`: the longest that the other side
// takes.
void Endpoint::use_features(Peer& peer, std::uint32_t features, std::uint16_t max_datagram) {
  peer.features = features;
  peer.longest_datagram = std::min(max_datagram, options_.max_datagram);
  start_path_mtu(peer);
}

void Endpoint::start_path_mtu(Peer& peer) {
  const bool ipv6 = peer.remote.family == SocketAddress::Family::kIpv6;
  peer.path_mtu = (peer.features & kFeaturePathMtu) != 0 ? PathMtu(peer.longest_datagram, ipv6) : PathMtu();
}

// What is known of the path does not hold any more; of the one before, if `fresh`, nothing does.
void Endpoint::on_path_changed(Peer& peer, bool fresh, Instant now) {
  if (fresh) {
    peer.round_trip = RoundTrip();
    start_path_mtu(peer);
    if (peer.transfer) peer.transfer->on_new_path(now);
  } else if (peer.transfer) {
    peer.transfer->on_address_changed();
  }
  plan_ping(peer, now);
  mark_dirty(peer);
  schedule(peer);
}

// The oldest id of the other side that is not in use; null when there is none.
const ReceivedId* Endpoint::spare_id(const Peer& peer) {
  const ReceivedId* oldest = nullptr;
  for (const ReceivedId& known : std::span(peer.received).first(peer.received_count)) {
    if (known.id != peer.remote_id && (oldest == nullptr || known.sequence < oldest->sequence))
      oldest = &known;
  }
  return oldest;
}

// Gives an id of the other side back; false when that cannot be told, so that it stays.
bool Endpoint::retire_id(Peer& peer, const ConnectionId& id) {
  const auto known = std::span(peer.received).first(peer.received_count);
  const auto retired = std::ranges::find(known, id, &ReceivedId::id);
  std::array<std::byte, 16> frame{};
  ByteWriter writer(frame);
  if (!write_retire_id(writer, retired->sequence) || !send_control(peer, writer.written())) return false;
  forget_reset_token(peer, retired->id);
  *retired = known.back();
  --peer.received_count;
  return true;
}

}  // namespace hawser
