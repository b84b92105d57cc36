#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer_pool.hpp"
#include "engine/datagram.hpp"
#include "engine/tap.hpp"

namespace hawser {

// Sealed datagrams on their way to the socket: a ring that grows by doubling up to a fixed size.
class OutputQueue {
 public:
  // As many as a driver sends at a time.
  static constexpr std::size_t kBatch = 64;

  explicit OutputQueue(std::size_t capacity) : capacity_(capacity) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool full() const { return size_ == capacity_; }
  // The most it holds.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  // Memory held beside the buffers, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const {
    return datagrams_.size() * (sizeof(OutgoingDatagram) + sizeof(Buffer));
  }

  // Whether release_idle() may release memory some time.
  [[nodiscard]] bool has_grown() const { return datagrams_.size() > kFirst; }
  // Releases the memory if the queue is empty and needed at most a quarter of it since the last call.
  void release_idle() {
    if (has_grown() && size_ == 0 && recent_peak_ <= datagrams_.size() / 4) {
      std::vector<OutgoingDatagram>().swap(datagrams_);
      std::vector<Buffer>().swap(buffers_);
      first_ = 0;
    }
    recent_peak_ = size_;
  }

  // Who sees what is sent; nullptr, at first, for nobody. It outlives the queue, or is taken away before.
  void set_tap(Tap* tap) { tap_ = tap; }
  [[nodiscard]] Tap* tap() const { return tap_; }

  // Takes the first `size` bytes of the buffer. Not when full.
  void push(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local, std::uint8_t ecn,
            std::uint32_t probing_slot = kNoProbe) {
    if (tap_ != nullptr) [[unlikely]]
      tap_->sent(buffer.bytes(), remote, local, ecn);
    if (size_ == datagrams_.size()) grow();
    const std::size_t place = wrap(first_ + size_);
    datagrams_[place] = OutgoingDatagram{buffer.bytes(), remote, local, ecn, probing_slot};
    buffers_[place] = std::move(buffer);
    ++size_;
    recent_peak_ = std::max(recent_peak_, size_);
  }

  // The oldest datagrams, at most kBatch; fewer at the end of the ring. Valid until the next call of `push`
  // or `pop`.
  [[nodiscard]] std::span<const OutgoingDatagram> front() const {
    const std::size_t count = std::min({size_, kBatch, datagrams_.size() - first_});
    return std::span(datagrams_).subspan(first_, count);
  }

  // Gives back the buffers of the `count` oldest.
  void pop(std::size_t count) {
    for (; count > 0 && size_ > 0; --count) {
      buffers_[first_].reset();
      first_ = wrap(first_ + 1);
      --size_;
    }
    // From the beginning again, so that the next batch is whole.
    if (size_ == 0) first_ = 0;
  }

 private:
  // An idle client sends one datagram at a time.
  static constexpr std::size_t kFirst = 2;

  [[nodiscard]] std::size_t wrap(std::size_t index) const {
    return index < datagrams_.size() ? index : index - datagrams_.size();
  }

  void grow() {
    const std::size_t places = std::min(std::max(kFirst, 2 * size_), capacity_);
    std::vector<OutgoingDatagram> datagrams(places);
    std::vector<Buffer> buffers(places);
    for (std::size_t i = 0; i < size_; ++i) {
      datagrams[i] = datagrams_[wrap(first_ + i)];
      buffers[i] = std::move(buffers_[wrap(first_ + i)]);
    }
    datagrams_ = std::move(datagrams);
    buffers_ = std::move(buffers);
    first_ = 0;
  }

  std::size_t capacity_;
  // As a socket takes them, and the buffers that their bytes are in.
  std::vector<OutgoingDatagram> datagrams_;
  std::vector<Buffer> buffers_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::size_t recent_peak_ = 0;
  Tap* tap_ = nullptr;
};

}  // namespace hawser
