#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer_pool.hpp"
#include "engine/datagram.hpp"
#include "engine/tap.hpp"

namespace hawser {

// Sealed datagrams on their way to the socket: a ring of fixed size.
class OutputQueue {
 public:
  // As many as a driver sends at a time.
  static constexpr std::size_t kBatch = 64;

  explicit OutputQueue(std::size_t capacity) : entries_(capacity) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool full() const { return size_ == entries_.size(); }
  [[nodiscard]] std::size_t capacity() const { return entries_.size(); }
  // Memory held beside the buffers, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const { return entries_.size() * sizeof(Entry); }

  // Who sees what is sent; nullptr, at first, for nobody. It outlives the queue, or is taken away before.
  void set_tap(Tap* tap) { tap_ = tap; }
  [[nodiscard]] Tap* tap() const { return tap_; }

  // Takes the first `size` bytes of the buffer. Not when full.
  void push(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local, std::uint8_t ecn,
            std::uint32_t probing_slot = kNoProbe) {
    if (tap_ != nullptr) [[unlikely]]
      tap_->sent(buffer.bytes(), remote, local, ecn);
    Entry& entry = entries_[wrap(first_ + size_)];
    entry.buffer = std::move(buffer);
    entry.remote = remote;
    entry.local = local;
    entry.ecn = ecn;
    entry.probing_slot = probing_slot;
    ++size_;
  }

  // The oldest datagrams, at most kBatch. Valid until the next call of this or `pop`.
  [[nodiscard]] std::span<const OutgoingDatagram> front() {
    const std::size_t count = std::min(size_, kBatch);
    for (std::size_t i = 0; i < count; ++i) {
      const Entry& entry = entries_[wrap(first_ + i)];
      batch_[i] =
          OutgoingDatagram{entry.buffer.bytes(), entry.remote, entry.local, entry.ecn, entry.probing_slot};
    }
    return std::span(batch_).first(count);
  }

  // Gives back the buffers of the `count` oldest.
  void pop(std::size_t count) {
    for (; count > 0 && size_ > 0; --count) {
      entries_[first_].buffer.reset();
      first_ = wrap(first_ + 1);
      --size_;
    }
  }

 private:
  struct Entry {
    Buffer buffer;
    SocketAddress remote;
    SocketAddress local;
    std::uint8_t ecn = 0;
    std::uint32_t probing_slot = kNoProbe;
  };

  [[nodiscard]] std::size_t wrap(std::size_t index) const {
    return index < entries_.size() ? index : index - entries_.size();
  }

  std::vector<Entry> entries_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  Tap* tap_ = nullptr;
  std::array<OutgoingDatagram, kBatch> batch_{};
};

}  // namespace hawser
