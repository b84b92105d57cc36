#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace hawser {

// Bytes that live as long as any holder of them, zeroed at first, and aligned for any fundamental type, which
// make_shared would not promise for bytes. Of large ones, pages that are never written cost nothing.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size) : bytes_(allocate(size)), size_(size) {}

  [[nodiscard]] std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  // A holder more.
  [[nodiscard]] std::shared_ptr<std::byte[]> share() const { return bytes_; }

 private:
  static std::shared_ptr<std::byte[]> allocate(std::size_t size) {
#ifdef __linux__
    if (size >= kLeastMapped) return map(size);
#endif
    void* const memory = std::calloc(size, 1);
    // As operator new does without exceptions.
    if (memory == nullptr) std::abort();
    return {static_cast<std::byte*>(memory), &std::free};
  }

#ifdef __linux__
  // calloc() of glibc writes zeros once blocks of that size have been freed, which makes all pages resident.
  static constexpr std::size_t kLeastMapped = std::size_t{64} * 1024;

  static std::shared_ptr<std::byte[]> map(std::size_t size) {
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    // A huge page would make resident what is never written. Only a kernel without huge pages refuses.
    ::madvise(memory, size, MADV_NOHUGEPAGE);
    return {static_cast<std::byte*>(memory), [size](std::byte* bytes) { ::munmap(bytes, size); }};
  }
#endif

  std::shared_ptr<std::byte[]> bytes_;
  std::size_t size_;
};

}  // namespace hawser
