#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/gateway_state.hpp"
#include "io/driver.hpp"

namespace hawser {

// The drivers of one gateway's shards, as they reach each other: things with the mailbox() and the wake() of
// an I/O thread. Any thread may call any function.
template <class ShardDriver>
class ShardGroup final : public OtherShards, public ShardBell {
 public:
  explicit ShardGroup(std::uint32_t shards) : members_(shards) {}

  [[nodiscard]] std::uint32_t shards() const { return static_cast<std::uint32_t>(members_.size()); }

  // From now on the driver of that shard is reached; it leaves before it is closed.
  void join(std::uint32_t shard, ShardDriver& driver) { set(shard, &driver); }
  void leave(std::uint32_t shard) { set(shard, nullptr); }

  bool hand_over(std::uint32_t shard, const ReceivedDatagram& datagram) override {
    Member& member = members_[shard];
    const std::scoped_lock lock(member.mutex);
    if (member.driver == nullptr || !member.driver->mailbox().put(datagram)) return false;
    member.driver->wake();
    return true;
  }

  void ring(std::uint32_t shard) override {
    Member& member = members_[shard];
    const std::scoped_lock lock(member.mutex);
    if (member.driver != nullptr) member.driver->wake();
  }

 private:
  struct Member {
    std::mutex mutex;
    ShardDriver* driver = nullptr;
  };

  void set(std::uint32_t shard, ShardDriver* driver) {
    const std::scoped_lock lock(members_[shard].mutex);
    members_[shard].driver = driver;
  }

  std::vector<Member> members_;
};

}  // namespace hawser
