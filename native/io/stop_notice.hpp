#pragma once

#include "engine/endpoint.hpp"
#include "engine/events.hpp"

namespace hawser {

// The rule by which a driver tells that its endpoint has stopped: once, and after its user has taken all that
// the endpoint told before.
class StopNotice {
 public:
  // Whether it is due now. It is taken to be told then.
  [[nodiscard]] bool take(const Endpoint& endpoint, const EventQueue& events) {
    if (taken_ || endpoint.state() != SocketState::kStopped || events.count() > 0) return false;
    taken_ = true;
    return true;
  }

 private:
  bool taken_ = false;
};

}  // namespace hawser
