// Memory that sockets receive into and send from: too much for each socket to have its own where there are
// many of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace hawser {

// What one implementation of UdpSocket needs during a turn. Each implementation has a class derived from it.
class SocketMemory {
 public:
  enum class Kind : std::uint8_t { kNative, kPortable };

  SocketMemory() = default;
  SocketMemory(const SocketMemory&) = delete;
  SocketMemory& operator=(const SocketMemory&) = delete;
  virtual ~SocketMemory() = default;
};

// Memory for the sockets of one thread, which take turns with it. Not thread-safe.
class SocketMemoryPool {
 public:
  SocketMemoryPool() = default;
  SocketMemoryPool(const SocketMemoryPool&) = delete;
  SocketMemoryPool& operator=(const SocketMemoryPool&) = delete;

  // Memory that was released before; nullptr when there is none.
  [[nodiscard]] std::unique_ptr<SocketMemory> acquire(SocketMemory::Kind kind) {
    for (std::unique_ptr<SocketMemory>& each : idle_[static_cast<std::size_t>(kind)]) {
      if (each != nullptr) return std::move(each);
    }
    return nullptr;
  }
  // Keeps the memory for the next sockets, a few pieces of each kind.
  void release(SocketMemory::Kind kind, std::unique_ptr<SocketMemory> memory) {
    for (std::unique_ptr<SocketMemory>& each : idle_[static_cast<std::size_t>(kind)]) {
      if (each != nullptr) continue;
      each = std::move(memory);
      return;
    }
  }

 private:
  // A socket that sends in the turn of another needs a piece too.
  static constexpr std::size_t kMostIdle = 2;

  std::array<std::array<std::unique_ptr<SocketMemory>, kMostIdle>, 2> idle_;
};

}  // namespace hawser
