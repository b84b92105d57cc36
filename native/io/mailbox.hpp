#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/datagram.hpp"

namespace hawser {

// Datagrams that other threads hand to one. Bounded: what finds no room is lost, as in a full socket buffer.
class Mailbox {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMaxDatagrams = 4'096;

  // Copies the datagram; false when there is no room for it. From any thread.
  [[nodiscard]] bool put(const ReceivedDatagram& datagram) {
    const std::scoped_lock lock(mutex_);
    if (filling_.datagrams.size() == kMaxDatagrams) return false;
    if (filling_.bytes.size() + datagram.bytes.size() > kMaxBytes) return false;
    filling_.datagrams.push_back(datagram);
    filling_.bytes.insert(filling_.bytes.end(), datagram.bytes.begin(), datagram.bytes.end());
    waiting_.store(true, std::memory_order_release);
    return true;
  }

  [[nodiscard]] bool empty() const { return !waiting_.load(std::memory_order_acquire); }

  // Calls visit(const ReceivedDatagram&) for each, oldest first, whose bytes may be changed. From one thread.
  template <class F>
  void take(F&& visit) {
    if (empty()) return;
    {
      const std::scoped_lock lock(mutex_);
      std::swap(filling_, taken_);
      waiting_.store(false, std::memory_order_release);
    }
    std::size_t offset = 0;
    for (ReceivedDatagram& datagram : taken_.datagrams) {
      datagram.bytes = MutableBytes(taken_.bytes).subspan(offset, datagram.bytes.size());
      offset += datagram.bytes.size();
      datagram.handed_over = true;
      visit(std::as_const(datagram));
    }
    taken_.datagrams.clear();
    taken_.bytes.clear();
  }

 private:
  struct Batch {
    std::vector<ReceivedDatagram> datagrams;  // their bytes follow each other in `bytes`
    std::vector<std::byte> bytes;
  };

  std::atomic<bool> waiting_ = false;
  std::mutex mutex_;
  Batch filling_;
  Batch taken_;
};

}  // namespace hawser
