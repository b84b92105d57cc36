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
    return std::move(idle_[static_cast<std::size_t>(kind)]);
  }
  // Keeps the memory for the next socket, one piece of each kind.
  void release(SocketMemory::Kind kind, std::unique_ptr<SocketMemory> memory) {
    idle_[static_cast<std::size_t>(kind)] = std::move(memory);
  }

 private:
  std::array<std::unique_ptr<SocketMemory>, 2> idle_;
};

}  // namespace hawser
