// The storages into which an endpoint's events go and from which their reader takes them: while one batch is
// read, the endpoint fills another storage. They go from one side to the other by rings, so that the two may
// be on different threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/shared_memory.hpp"
#include "base/spsc_ring.hpp"
#include "engine/events.hpp"

namespace hawser {

// View: what the reader keeps with each storage, from its first sight of it on; default-constructible.
template <class View>
class EventBatches {
 public:
  static constexpr std::size_t kLeastSlabBytes = std::size_t{256} * 1024;
  // Beside the longest message: what one datagram, one timer or one call can add.
  static constexpr std::size_t kSlabReserve = std::size_t{64} * 1024;
  static constexpr std::size_t kSlabDescriptors = 8'192;
  static_assert(kSlabReserve > EventQueue::kRoomBytes);

  // Storages of an endpoint on the reader's thread, in steady state, and of one on another thread: what the
  // reader may be behind before messages wait or are lost.
  static constexpr std::size_t kOnSameThread = 2;
  static constexpr std::size_t kOnOtherThread = 8;

  struct Storage {
    explicit Storage(std::size_t slab_bytes) : slab(slab_bytes) {}

    [[nodiscard]] EventDescriptor* events() const {
      return reinterpret_cast<EventDescriptor*>(descriptors.data());
    }

    SharedMemory slab;
    SharedMemory descriptors{kSlabDescriptors * sizeof(EventDescriptor)};
    std::size_t count = 0;
    std::size_t slab_used = 0;
    View view{};
  };

  // Makes the queue write into a storage of these from now on. The queue is empty. `longest_message`: in
  // bytes, of those that have to fit. `storages`: one of the figures above.
  void start(EventQueue& queue, std::size_t longest_message, std::size_t storages) {
    slab_bytes_ = std::max(kLeastSlabBytes, longest_message + kSlabReserve);
    usual_ = storages;
    while (storages_.size() < usual_) hand_out(add());
    use_empty(queue);
  }

  // --- The endpoint's side ---

  // Sets the queue's events aside for the reader and gives it an empty storage. False when there are no
  // events or no empty storage, and while the reader has not taken what was set aside before and the queue
  // has room: so a reader who is behind gets fewer and larger batches. endpoint_waits() then says so.
  bool set_aside(EventQueue& queue) {
    bool any = false;
    // A new storage begins with what the queue has kept.
    while (set_one_aside(queue)) any = true;
    return any;
  }

  // --- The reader's side ---

  // For an endpoint on the same thread: set_aside() finds an empty storage now. Those beyond the usual number
  // are for calls of one turn that cause many events, and are dropped afterwards.
  void make_room() {
    collect();
    if (empty_.empty()) hand_out(add());
  }
  // Whether batches wait for the reader.
  [[nodiscard]] bool waiting() {
    collect();
    return next_ < collected_.size();
  }
  // The oldest batch that waits, for give_back() or discard(); nullptr when none does.
  [[nodiscard]] Storage* take() {
    if (!waiting()) return nullptr;
    Storage* const storage = collected_[next_++];
    if (next_ == collected_.size()) {
      collected_.clear();
      next_ = 0;
    }
    return storage;
  }
  // For a batch whose memory has become another's: its events in a fresh storage. The former one is gone.
  [[nodiscard]] Storage* replace(Storage* taken) {
    Storage* const fresh = add();
    fresh->count = taken->count;
    fresh->slab_used = taken->slab_used;
    std::memcpy(fresh->slab.data(), taken->slab.data(), taken->slab_used);
    std::memcpy(fresh->descriptors.data(), taken->descriptors.data(), taken->count * sizeof(EventDescriptor));
    remove(taken);
    return fresh;
  }
  // The batch has been read: the endpoint may write into its storage.
  void give_back(Storage* taken) {
    if (storages_.size() > usual_) return remove(taken);
    hand_out(taken);
  }
  // The batch has been read, and its memory has become another's, into which the endpoint must not write: a
  // fresh storage takes its place.
  void discard(Storage* taken) {
    remove(taken);
    if (storages_.size() < usual_) hand_out(add());
  }
  // Whether what take(), give_back() or discard() has just done is what the endpoint waits for: it is to be
  // woken then. Says so once.
  [[nodiscard]] bool endpoint_waits() { return waits_.exchange(false, std::memory_order_acq_rel); }
  // Forgets what waits.
  void clear() {
    while (Storage* const batch = take()) give_back(batch);
  }

 private:
  // More than ever wait on the other side.
  static constexpr std::size_t kRing = 16;
  static_assert(kOnOtherThread < kRing);

  [[nodiscard]] bool may_set_aside(const EventQueue& queue) const {
    return !empty_.empty() && (filled_.empty() || !queue.has_room() || queue.wanting());
  }

  bool set_one_aside(EventQueue& queue) {
    if (queue.count() == 0) return false;
    if (!may_set_aside(queue)) {
      // Asked again afterwards: what happened before this is not told of.
      waits_.exchange(true, std::memory_order_acq_rel);
      if (!may_set_aside(queue)) return false;
      waits_.exchange(false, std::memory_order_acq_rel);
    }
    Storage* const filled = current_;
    filled->count = queue.count();
    filled->slab_used = queue.slab_used();
    use_empty(queue);
    [[maybe_unused]] const bool pushed = filled_.push(filled);
    assert(pushed && "there are fewer storages than places");
    return true;
  }

  void use_empty(EventQueue& queue) {
    const std::optional<Storage*> empty = empty_.pop();
    assert(empty && "asked before");
    current_ = *empty;
    queue.use({current_->slab.data(), current_->slab.size()}, {current_->events(), kSlabDescriptors});
  }

  // What the endpoint has set aside comes to this side.
  void collect() {
    while (const std::optional<Storage*> filled = filled_.pop()) collected_.push_back(*filled);
  }

  Storage* add() { return storages_.emplace_back(std::make_unique<Storage>(slab_bytes_)).get(); }
  void remove(Storage* storage) {
    std::erase_if(storages_, [storage](const auto& each) { return each.get() == storage; });
  }
  void hand_out(Storage* storage) {
    [[maybe_unused]] const bool pushed = empty_.push(storage);
    assert(pushed && "there are fewer storages than places");
  }

  // Of the endpoint's side.
  Storage* current_ = nullptr;

  SpscRing<Storage*, kRing> filled_;
  SpscRing<Storage*, kRing> empty_;
  std::atomic<bool> waits_ = false;

  // Of the reader's side.
  std::vector<std::unique_ptr<Storage>> storages_;
  std::vector<Storage*> collected_;  // from next_ on
  std::size_t next_ = 0;
  std::size_t usual_ = kOnSameThread;
  std::size_t slab_bytes_ = kLeastSlabBytes;
};

}  // namespace hawser
