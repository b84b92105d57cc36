#include "engine/path_validation.hpp"

#include <algorithm>

namespace hawser {

PathValidation::PathValidation(const NetworkPath& current, const NetworkPath& candidate, std::size_t size,
                               const PathData& candidate_data, const PathData& current_data, Duration pto,
                               Instant now)
    : former_(current),
      candidate_(candidate),
      candidate_data_(candidate_data),
      former_data_(current_data),
      received_(size),
      patience_(3 * std::max(pto, kInitialPto)),
      repeat_(std::max(pto, kLeastRepeat)),
      next_challenge_(now),
      deadline_(now + patience_) {}

PathValidation::Verdict PathValidation::on_packet(const SocketAddress& remote, std::size_t size, bool newest,
                                                  Instant now) {
  from_candidate_ = remote == candidate_.remote;
  if (from_candidate_ && phase_ == Phase::kValidating) {
    received_ += size;
    if (withheld_) next_challenge_ = now;
  }
  return newest && remote == former_.remote ? stay(now) : Verdict::kNothing;
}

PathValidation::Verdict PathValidation::on_response(const PathData& data, Instant now) {
  // What was sent to the former path after the move began has reached the client there: whoever brought its
  // packets from elsewhere, it has not gone.
  if (data == former_data_) return stay(now);
  if (phase_ != Phase::kValidating || !from_candidate_ || data != candidate_data_) return Verdict::kNothing;
  phase_ = Phase::kWatching;
  deadline_ = now + patience_;
  return Verdict::kMoved;
}

// The client is where it was.
PathValidation::Verdict PathValidation::stay(Instant now) {
  if (phase_ == Phase::kResting) return Verdict::kNothing;
  const bool moved = phase_ == Phase::kWatching;
  phase_ = Phase::kResting;
  deadline_ = now + kRest;
  return moved ? Verdict::kReturned : Verdict::kCancelled;
}

void PathValidation::on_challenged(std::size_t size, Instant now) {
  sent_ += size;
  withheld_ = size == 0;
  next_challenge_ = now + repeat_;
  // Each packet may call for a challenge for which there is no room: it is not doubled without end.
  repeat_ = std::min(2 * repeat_, patience_);
}

}  // namespace hawser
