// Memory that native code and JavaScript both see. It lives as long as either holds it: JavaScript may keep,
// transfer or drop its ArrayBuffer at any time, native code may go on writing.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace hawser::binding {

class SharedMemory {
 public:
  // Zeroed, and aligned for any fundamental type, which make_shared would not promise for bytes. Pages that
  // are never written cost nothing: a storage has to hold the longest message, which may never come.
  explicit SharedMemory(std::size_t size) : bytes_(allocate(size), &std::free), size_(size) {}

  [[nodiscard]] std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

  // An ArrayBuffer over it; once per memory (V8 allows one ArrayBuffer per address). Empty, with an exception
  // pending, where the runtime forbids buffers outside of its heap.
  [[nodiscard]] Napi::ArrayBuffer expose(Napi::Env env) const {
    auto holder = std::make_unique<std::shared_ptr<std::byte[]>>(bytes_);
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        env, bytes_.get(), size_,
        [](Napi::Env /*env*/, void* /*data*/, std::shared_ptr<std::byte[]>* held) { delete held; },
        holder.get());
    if (!buffer.IsEmpty()) static_cast<void>(holder.release());
    return buffer;
  }

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

}  // namespace hawser::binding
