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
// view may still show an earlier slab: slabs grow for long messages, and shrink.
template <class View>
struct EventStorage {
  // Bytes of a slab unless messages need more.
  static constexpr std::size_t kLeastSlabBytes = std::size_t{256} * 1024;
  // Beside the longest message: what one datagram, one timer or one call can add.
  static constexpr std::size_t kSlabReserve = std::size_t{64} * 1024;
  static constexpr std::size_t kSlabDescriptors = 8'192;
  static_assert(kSlabReserve > EventQueue::kRoomBytes);

  // Bytes of the slab in which a message of that length has room.
  [[nodiscard]] static std::size_t slab_bytes_for(std::size_t longest_message) {
    return std::max(kLeastSlabBytes, longest_message + kSlabReserve);
  }

  // Bytes of the slab of an endpoint whose messages of up to `longest_sequenced` bytes find room at once: the
  // slab grows only when one has found none, and a message of a sequenced channel is lost then. There is room
  // beside it for what a turn has brought before. Pages that are never written cost nothing.
  [[nodiscard]] static std::size_t least_bytes_for(std::size_t longest_sequenced) {
    return std::max(kLeastSlabBytes, longest_sequenced + kLeastSlabBytes - kSlabReserve);
  }

  [[nodiscard]] EventDescriptor* events() const {
    return reinterpret_cast<EventDescriptor*>(descriptors.data());
  }

  // Who uses the storage from now on needs a slab of at least so many bytes, one of least_bytes_for(). What
  // is in it is lost.
  void fit(std::size_t least_bytes) {
    least_bytes_ = least_bytes;
    reserve(least_bytes);
  }

  // Makes the slab at least so long. What is in it is lost.
  void reserve(std::size_t bytes) {
    if (slab.size() < bytes) replace_slab(bytes);
    if (bytes > least_bytes_) unneeded_ = 0;
  }

  // A batch has been read. When many batches in a row had no need of it, a slab that grew shrinks, and the
  // pages that long messages have written are given back.
  void read() {
    written_ = std::max(written_, slab_used);
    const bool needed = slab_bytes_for(slab_used) > least_bytes_;
    const bool as_new = slab.size() <= least_bytes_ && written_ <= kLeastSlabBytes;
    if (needed || as_new) {
      unneeded_ = 0;
    } else if (++unneeded_ >= kPatience) {
      replace_slab(least_bytes_);
    }
  }

  SharedMemory slab{kLeastSlabBytes};
  SharedMemory descriptors{kSlabDescriptors * sizeof(EventDescriptor)};
  std::size_t count = 0;
  std::size_t slab_used = 0;
  View view{};

 private:
  static constexpr int kPatience = 256;

  void replace_slab(std::size_t bytes) {
    slab = SharedMemory(bytes);
    written_ = 0;
    unneeded_ = 0;
  }

  std::size_t least_bytes_ = kLeastSlabBytes;
  std::size_t written_ = 0;  // of the slab, at most, by batches that were read
  int unneeded_ = 0;         // batches in a row
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
