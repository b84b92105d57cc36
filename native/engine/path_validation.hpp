#pragma once

#include <cstddef>
#include <cstdint>

#include "base/address.hpp"
#include "base/time.hpp"
#include "wire/connection_id.hpp"
#include "wire/frames.hpp"

namespace hawser {

// Where the packets of a peer go to and from, and the id of the other side in them.
struct NetworkPath {
  SocketAddress remote;
  SocketAddress local;
  ConnectionId id;

  // Whether only the port of the other side differs, as behind a NAT that has forgotten its mapping.
  [[nodiscard]] bool same_hosts(const NetworkPath& other) const {
    return remote.family == other.remote.family && remote.ip == other.remote.ip &&
           remote.scope_id == other.remote.scope_id && local == other.local;
  }

  friend bool operator==(const NetworkPath&, const NetworkPath&) = default;
};

// A server's judgement on one move of a client (docs/protocol.md section 14): from the first packet of a new
// address, the candidate, to the time when nothing of the move needs to be remembered any more. It decides;
// sending, and the peer's addresses, are the caller's.
class PathValidation {
 public:
  // The most bytes sent to an unproven address for each byte that came from it (RFC 9000 section 8.1).
  static constexpr std::size_t kAmplification = 3;
  // How long after a cancelled move none starts.
  static constexpr Duration kRest = std::chrono::seconds(1);
  // The candidate's round trip is not known: what RFC 9002 section 6.2.2 assumes, nearly.
  static constexpr Duration kInitialPto = std::chrono::seconds(1);
  static constexpr Duration kLeastRepeat = std::chrono::milliseconds(100);

  enum class Phase : std::uint8_t {
    kValidating,  // the candidate is challenged
    kWatching,    // the peer has moved; the former address may still take it back
    kResting,     // the move was cancelled
  };

  enum class Verdict : std::uint8_t {
    kNothing,
    kMoved,      // the candidate is the peer's path now
    kCancelled,  // the peer's path stays
    kReturned,   // the former path is the peer's again
  };

  // A packet with the highest number so far, of `size` bytes, came from `candidate` instead of `current`.
  // `candidate_data` and `current_data` are random, each for the challenge of its path. `pto` of the current
  // path.
  PathValidation(const NetworkPath& current, const NetworkPath& candidate, std::size_t size,
                 const PathData& candidate_data, const PathData& current_data, Duration pto, Instant now);

  [[nodiscard]] Phase phase() const { return phase_; }
  // The path being validated, or that was.
  [[nodiscard]] const NetworkPath& candidate() const { return candidate_; }
  // The peer's path when the move began.
  [[nodiscard]] const NetworkPath& former() const { return former_; }
  [[nodiscard]] const PathData& candidate_data() const { return candidate_data_; }
  [[nodiscard]] const PathData& former_data() const { return former_data_; }

  // Whether a packet that is the newest, from an address that is not the peer's, begins a move of its own
  // after on_packet().
  [[nodiscard]] bool gives_way_to(const SocketAddress& remote) const {
    return phase_ == Phase::kWatching || (phase_ == Phase::kValidating && remote != candidate_.remote);
  }

  // Whether the move is in progress and this is one of its two addresses.
  [[nodiscard]] bool involves(const SocketAddress& remote) const {
    return phase_ != Phase::kResting && (remote == candidate_.remote || remote == former_.remote);
  }

  // An authenticated packet, before its frames. `newest`: no packet before it had a higher number; only then
  // one from the former path cancels the move or takes it back.
  Verdict on_packet(const SocketAddress& remote, std::size_t size, bool newest, Instant now);
  // A PATH_RESPONSE in the packet that on_packet() was last told of.
  Verdict on_response(const PathData& data, Instant now);

  // Whether the former path is to be challenged now, and while validating the candidate with it.
  [[nodiscard]] bool challenge_due(Instant now) const {
    return phase_ != Phase::kResting && now >= next_challenge_;
  }
  // Bytes that may still be sent to the candidate.
  [[nodiscard]] std::uint64_t allowance() const { return received_ * kAmplification - sent_; }
  // That was done, the candidate with a datagram of `size` bytes: 0 when the allowance, or the room, was not
  // enough, so that it is tried again when more has come, or with the next repetition.
  void on_challenged(std::size_t size, Instant now);

  // Nothing is left to wait for: a move that is still being validated has failed.
  [[nodiscard]] bool over(Instant now) const { return now >= deadline_; }
  [[nodiscard]] Instant next_deadline() const {
    return phase_ != Phase::kResting && next_challenge_ < deadline_ ? next_challenge_ : deadline_;
  }

 private:
  Verdict stay(Instant now);

  NetworkPath former_;
  NetworkPath candidate_;
  PathData candidate_data_;
  PathData former_data_;
  std::uint64_t received_;  // from the candidate
  std::uint64_t sent_ = 0;  // to the candidate
  Duration patience_;
  Duration repeat_;
  Instant next_challenge_;
  Instant deadline_;
  Phase phase_ = Phase::kValidating;
  bool withheld_ = false;
  bool from_candidate_ = true;  // the packet whose frames are being processed
};

}  // namespace hawser
