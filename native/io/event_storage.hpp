// Memory for events: what an endpoint writes and its reader reads, one batch at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/shared_memory.hpp"
#include "engine/events.hpp"

namespace hawser {

// View: what the reader keeps with each storage, from its first sight of it on; default-constructible. The
// slab may be another one than the view is of: it grows for long messages.
template <class View>
struct EventStorage {
  // Bytes of a slab unless a message needs more.
  static constexpr std::size_t kLeastSlabBytes = std::size_t{256} * 1024;
  // Beside the longest message: what one datagram, one timer or one call can add.
  static constexpr std::size_t kSlabReserve = std::size_t{64} * 1024;
  static constexpr std::size_t kSlabDescriptors = 8'192;
  static_assert(kSlabReserve > EventQueue::kRoomBytes);

  // Bytes of the slab in which a message of that length has room.
  [[nodiscard]] static std::size_t slab_bytes_for(std::size_t longest_message) {
    return std::max(kLeastSlabBytes, longest_message + kSlabReserve);
  }

  [[nodiscard]] EventDescriptor* events() const {
    return reinterpret_cast<EventDescriptor*>(descriptors.data());
  }

  // Makes the slab at least so long. What is in it is lost.
  void reserve(std::size_t bytes) {
    if (slab.size() < bytes) slab = SharedMemory(bytes);
    unneeded_ = 0;
  }

  // A batch has been read. A slab that grew shrinks when many batches in a row had no need of that.
  void read() {
    if (slab.size() == kLeastSlabBytes || slab_used > kLeastSlabBytes) {
      unneeded_ = 0;
    } else if (++unneeded_ == kPatience) {
      slab = SharedMemory(kLeastSlabBytes);
      unneeded_ = 0;
    }
  }

  SharedMemory slab{kLeastSlabBytes};
  SharedMemory descriptors{kSlabDescriptors * sizeof(EventDescriptor)};
  std::size_t count = 0;
  std::size_t slab_used = 0;
  View view{};

 private:
  static constexpr int kPatience = 256;
  int unneeded_ = 0;
};

// The storages that endpoints of one thread share. Each needs one only while it has a turn.
template <class View>
class EventStoragePool {
 public:
  using Storage = EventStorage<View>;

  EventStoragePool() = default;
  EventStoragePool(const EventStoragePool&) = delete;
  EventStoragePool& operator=(const EventStoragePool&) = delete;

  // Storages on loan.
  [[nodiscard]] std::size_t lent() const { return lent_; }
  // Storages that wait for their next user.
  [[nodiscard]] std::size_t idle() const { return idle_.size(); }

  [[nodiscard]] std::unique_ptr<Storage> acquire() {
    ++lent_;
    if (idle_.empty()) return std::make_unique<Storage>();
    std::unique_ptr<Storage> storage = std::move(idle_.back());
    idle_.pop_back();
    return storage;
  }
  void release(std::unique_ptr<Storage> storage) {
    --lent_;
    if (idle_.size() < kMostIdle) idle_.push_back(std::move(storage));
  }
  // For one whose memory has become another's.
  void discard(std::unique_ptr<Storage> /*storage*/) { --lent_; }

 private:
  // One is read while another is written.
  static constexpr std::size_t kMostIdle = 2;

  std::vector<std::unique_ptr<Storage>> idle_;
  std::size_t lent_ = 0;
};

}  // namespace hawser
