// The storages into which an endpoint's events go and from which JavaScript reads them. In steady state there
// are two: while JavaScript reads one, native code fills the other. More are made only when calls of one turn
// cause more events than one storage holds, and are dropped afterwards.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

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
  // bytes, of those that have to fit.
  void start(EventQueue& queue, std::size_t longest_message);

  // Sets the queue's events aside for delivery and gives it an empty storage. Does nothing when there are
  // none.
  void set_aside(EventQueue& queue);

  // Whether batches wait for delivery.
  [[nodiscard]] bool waiting() const { return next_ < filled_.size(); }

  // The oldest batch that waits, with buffers that JavaScript can read: those that a user took away are
  // replaced, with the events in them. Adds to `replaced` then. nullptr when none waits, and with an
  // exception pending when no buffer can be made.
  [[nodiscard]] std::unique_ptr<Storage> take(Napi::Env env, std::uint64_t& replaced);
  // Gives back a storage that JavaScript has read.
  void give_back(std::unique_ptr<Storage> storage);

  // Forgets what waits.
  void clear();

 private:
  void use_empty(EventQueue& queue);
  [[nodiscard]] std::unique_ptr<Storage> empty_storage();
  static bool expose(Napi::Env env, Storage& storage);

  std::unique_ptr<Storage> current_;
  std::unique_ptr<Storage> spare_;
  std::vector<std::unique_ptr<Storage>> filled_;  // from next_ on
  std::size_t next_ = 0;
  std::size_t slab_bytes_ = kLeastSlabBytes;
};

}  // namespace hawser::binding
