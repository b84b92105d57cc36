// The storages into which an endpoint's events go and from which JavaScript reads them: while JavaScript
// reads one, the endpoint fills another. They go from one side to the other by rings, so that the two may be
// on different threads.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/spsc_ring.hpp"
#include "binding/shared_memory.hpp"
#include "engine/events.hpp"

namespace hawser::binding {

inline constexpr std::size_t kLeastSlabBytes = std::size_t{256} * 1024;
// Beside the longest message: what one datagram, one timer or one call can add.
inline constexpr std::size_t kSlabReserve = std::size_t{64} * 1024;
inline constexpr std::size_t kSlabDescriptors = 8'192;
static_assert(kSlabReserve > EventQueue::kRoomBytes);

class EventBatches {
 public:
  // Storages of an endpoint on the same thread, in steady state, and of one on another thread: what
  // JavaScript may be behind before messages wait or are lost.
  static constexpr std::size_t kOnSameThread = 2;
  static constexpr std::size_t kOnOtherThread = 8;

  struct Storage {
    explicit Storage(std::size_t slab_bytes) : slab(slab_bytes) {}

    SharedMemory slab;
    SharedMemory descriptors{kSlabDescriptors * sizeof(EventDescriptor)};
    // Made when JavaScript first sees the storage.
    Napi::Reference<Napi::ArrayBuffer> slab_buffer;
    Napi::Reference<Napi::ArrayBuffer> descriptors_buffer;
    std::size_t count = 0;
    std::size_t slab_used = 0;
  };

  // Makes the queue write into a storage of these from now on. The queue is empty. `longest_message`: in
  // bytes, of those that have to fit. `storages`: one of the figures above.
  void start(EventQueue& queue, std::size_t longest_message, std::size_t storages);

  // --- The endpoint's side ---

  // Sets the queue's events aside for delivery and gives it an empty storage. False when there are no events
  // or no empty storage, and while JavaScript has not taken what was set aside before and the queue has room:
  // so a user who is behind gets fewer and larger batches. endpoint_waits() then says so.
  bool set_aside(EventQueue& queue);

  // --- JavaScript's side ---

  // For an endpoint on the same thread: set_aside() finds an empty storage now. Those beyond the usual number
  // are for calls of one turn that cause many events, and are dropped afterwards.
  void make_room();
  // Whether batches wait for delivery.
  [[nodiscard]] bool waiting();
  // The oldest batch that waits, with buffers that JavaScript can read: those that a user took away are
  // replaced, with the events in them. Adds to `replaced` then. nullptr when none waits, and with an
  // exception pending when no buffer can be made.
  [[nodiscard]] Storage* take(Napi::Env env, std::uint64_t& replaced);
  // Gives back a storage that JavaScript has read. One that a user took away in the meantime is replaced: the
  // endpoint must not write into what is another's. Adds to `replaced` then.
  void give_back(Storage* storage, std::uint64_t& replaced);
  // Whether what take() or give_back() has just done is what the endpoint waits for: it is to be woken then.
  [[nodiscard]] bool endpoint_waits() { return waits_.exchange(false, std::memory_order_acq_rel); }
  // Forgets what waits.
  void clear();

 private:
  // More than ever wait on the other side.
  static constexpr std::size_t kRing = 16;

  [[nodiscard]] bool may_set_aside(const EventQueue& queue) const {
    return !empty_.empty() && (filled_.empty() || !queue.has_room() || queue.wanting());
  }
  bool set_one_aside(EventQueue& queue);
  void use_empty(EventQueue& queue);
  Storage* add();
  void hand_out(Storage* storage);
  void remove(Storage* storage);
  [[nodiscard]] static bool taken_away(const Storage& storage);
  // What the endpoint has set aside comes to this side.
  void collect();
  static bool expose(Napi::Env env, Storage& storage);

  // Of the endpoint's side.
  Storage* current_ = nullptr;

  SpscRing<Storage*, kRing> filled_;
  SpscRing<Storage*, kRing> empty_;
  std::atomic<bool> waits_ = false;

  // Of JavaScript's side.
  std::vector<std::unique_ptr<Storage>> storages_;
  std::vector<Storage*> collected_;  // from next_ on
  std::size_t next_ = 0;
  std::size_t usual_ = kOnSameThread;
  std::size_t slab_bytes_ = kLeastSlabBytes;
};

}  // namespace hawser::binding
