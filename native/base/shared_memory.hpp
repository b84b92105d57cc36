#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace hawser {

// Bytes that live as long as any holder of them, zeroed at first, and aligned for any fundamental type, which
// make_shared would not promise for bytes. Pages that are never written cost nothing: a storage has to hold
// the longest message, which may never come.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size) : bytes_(allocate(size), &std::free), size_(size) {}

  [[nodiscard]] std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  // A holder more.
  [[nodiscard]] std::shared_ptr<std::byte[]> share() const { return bytes_; }

 private:
  static std::byte* allocate(std::size_t size) {
    void* const memory = std::calloc(size, 1);
    // As operator new does without exceptions.
    if (memory == nullptr) std::abort();
    return static_cast<std::byte*>(memory);
  }

  std::shared_ptr<std::byte[]> bytes_;
  std::size_t size_;
};

}  // namespace hawser
