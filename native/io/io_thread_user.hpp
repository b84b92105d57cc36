#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "io/driver.hpp"

namespace hawser {

// Who uses an endpoint that has a thread of its own. The functions of TurnUser are called on that thread.
class IoThreadUser : public TurnUser {
 public:
  // The endpoint has become STOPPED. Called once, on the thread, which goes on until join().
  virtual void thread_stopped() = 0;

 protected:
  ~IoThreadUser() = default;
};

struct IoThreadOptions {
  // How long the thread looks for work at most before it sleeps.
  Duration spin{};
  // Part of the thread's name.
  std::uint32_t shard = 0;
  // nullptr where this is the only shard.
  OtherShards* other_shards = nullptr;
};

}  // namespace hawser
