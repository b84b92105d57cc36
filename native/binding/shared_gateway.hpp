#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/random.hpp"
#include "engine/gateway_state.hpp"
#include "io/shard_group.hpp"
#include "io/thread_driver.hpp"

namespace hawser::binding {

// What the shards of one gateway have in common, held by each of them.
struct SharedGateway {
  SharedGateway(GatewayOptions options, std::unique_ptr<RandomSource> source, std::uint32_t shards)
      : random(std::move(source)), state(std::move(options), *random), group(shards) {
    if (shards > 1) state.set_bell(&group);
  }

  std::unique_ptr<RandomSource> random;
  GatewayState state;
  ShardGroup<ThreadDriver> group;
};

}  // namespace hawser::binding
