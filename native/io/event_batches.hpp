// The storages into which an endpoint's events go and from which their reader takes them: while one batch is
// read, the endpoint fills another storage. They go from one side to the other by rings, so that the two may
// be on different threads. Endpoints of one thread can share their storages instead.
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

#include "base/spsc_ring.hpp"
#include "engine/events.hpp"
#include "io/event_storage.hpp"

namespace hawser {

template <class View>
class EventBatches {
 public:
  using Storage = EventStorage<View>;

  // Storages of an endpoint on the reader's thread, in steady state, and of one on another thread: what the
  // reader may be behind before messages wait or are lost.
  static constexpr std::size_t kOnSameThread = 2;
  static constexpr std::size_t kOnOtherThread = 8;

  EventBatches() = default;
  EventBatches(const EventBatches&) = delete;
  EventBatches& operator=(const EventBatches&) = delete;
  ~EventBatches() {
    while (!storages_.empty()) remove(storages_.back().get());
  }

  // Makes the queue, which is empty, write into a storage of its own from now on. `storages`: one of the
  // figures above. `longest_sequenced`: of the messages that are lost when they find no room, in bytes.
  void start(EventQueue& queue, std::size_t storages, std::size_t longest_sequenced) {
    usual_ = storages;
    least_slab_bytes_ = Storage::least_bytes_for(longest_sequenced);
    while (storages_.size() < usual_) hand_out(add());
    use_empty(queue);
  }

  // Shares the storages of a pool, for an endpoint on the reader's thread. The queue has a storage from
  // attach() to detach() only: without one it keeps what must not be lost.
  void share(std::shared_ptr<EventStoragePool<View>> pool, std::size_t longest_sequenced) {
    pool_ = std::move(pool);
    usual_ = 0;
    least_slab_bytes_ = Storage::least_bytes_for(longest_sequenced);
  }
  [[nodiscard]] bool shares() const { return pool_ != nullptr; }
  // Before a turn of the endpoint.
  void attach(EventQueue& queue) {
    if (current_ != nullptr) return;
    make_room();
    use_empty(queue);
  }
  // Before a call of the endpoint's user. Many endpoints may be called in one turn of the loop: each takes a
  // storage only while few are on loan.
  void attach_for_call(EventQueue& queue) {
    if (pool_->lent() < kMostLentToCalls) attach(queue);
  }
  // After a turn. Does nothing when the queue holds events.
  void detach(EventQueue& queue) {
    if (current_ == nullptr || queue.count() > 0 || queue.kept() > 0 || queue.wanting()) return;
    stop(queue);
  }
  // The queue writes nothing any more. What waits for the reader still does.
  void stop(EventQueue& queue) {
    queue.use({}, {});
    if (current_ != nullptr && pool_ != nullptr) remove(std::exchange(current_, nullptr));
  }

  // --- The endpoint's side ---

  // Sets the queue's events aside for the reader and gives it an empty storage. False when there are no
  // events or no empty storage, and while the reader has not taken what was set aside before and the queue
  // has room: so a reader who is behind gets fewer and larger batches. endpoint_waits() then says so.
  // A storage that is empty and too small for a message that waits grows.
  bool set_aside(EventQueue& queue) {
    grow(queue);
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
    fresh->reserve(taken->slab.size());
    fresh->count = taken->count;
    fresh->slab_used = taken->slab_used;
    std::memcpy(fresh->slab.data(), taken->slab.data(), taken->slab_used);
    std::memcpy(fresh->descriptors.data(), taken->descriptors.data(), taken->count * sizeof(EventDescriptor));
    drop(taken);
    return fresh;
  }
  // The batch has been read: the endpoint may write into its storage.
  void give_back(Storage* taken) {
    taken->read();
    if (storages_.size() > usual_) return remove(taken);
    hand_out(taken);
  }
  // The batch has been read, and its memory has become another's, into which the endpoint must not write: a
  // fresh storage takes its place.
  void discard(Storage* taken) {
    drop(taken);
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
  static constexpr std::size_t kMostLentToCalls = 4;
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
    const std::size_t wanted = queue.wanted_bytes();
    Storage* const filled = current_;
    filled->count = queue.count();
    filled->slab_used = queue.slab_used();
    use_empty(queue, wanted);
    [[maybe_unused]] const bool pushed = filled_.push(filled);
    assert(pushed && "there are fewer storages than places");
    return true;
  }

  // `wanted`: bytes of the longest message that waits for room.
  void use_empty(EventQueue& queue, std::size_t wanted = 0) {
    const std::optional<Storage*> empty = empty_.pop();
    assert(empty && "asked before");
    current_ = *empty;
    if (wanted > 0) current_->reserve(Storage::slab_bytes_for(wanted));
    use_current(queue);
  }

  void grow(EventQueue& queue) {
    if (current_ == nullptr || queue.count() > 0 || !queue.wanting()) return;
    current_->reserve(Storage::slab_bytes_for(queue.wanted_bytes()));
    use_current(queue);
  }

  void use_current(EventQueue& queue) {
    queue.use({current_->slab.data(), current_->slab.size()},
              {current_->events(), Storage::kSlabDescriptors});
  }

  // What the endpoint has set aside comes to this side.
  void collect() {
    while (const std::optional<Storage*> filled = filled_.pop()) collected_.push_back(*filled);
  }

  Storage* add() {
    storages_.push_back(pool_ != nullptr ? pool_->acquire() : std::make_unique<Storage>());
    storages_.back()->fit(least_slab_bytes_);
    return storages_.back().get();
  }
  std::unique_ptr<Storage> extract(Storage* storage) {
    const auto at = std::ranges::find(storages_, storage, [](const auto& each) { return each.get(); });
    std::unique_ptr<Storage> extracted = std::move(*at);
    storages_.erase(at);
    return extracted;
  }
  void remove(Storage* storage) {
    std::unique_ptr<Storage> removed = extract(storage);
    if (pool_ != nullptr) pool_->release(std::move(removed));
  }
  // Its memory is another's.
  void drop(Storage* storage) {
    std::unique_ptr<Storage> dropped = extract(storage);
    if (pool_ != nullptr) pool_->discard(std::move(dropped));
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
  std::size_t least_slab_bytes_ = Storage::kLeastSlabBytes;
  std::shared_ptr<EventStoragePool<View>> pool_;
};

}  // namespace hawser
