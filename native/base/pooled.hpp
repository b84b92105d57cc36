#pragma once

#include <new>
#include <utility>

#include "base/block_pool.hpp"

namespace hawser {

// An object in memory of a BlockPool. Move-only; empty when the pool had no memory.
template <class T>
class Pooled {
  static_assert(alignof(T) <= 16);

 public:
  Pooled() = default;
  template <class... Args>
  static Pooled make(BlockPool& pool, Args&&... args) {
    Pooled made;
    made.block_ = pool.acquire(sizeof(T));
    if (made.block_) ::new (static_cast<void*>(made.block_.data())) T(std::forward<Args>(args)...);
    return made;
  }
  Pooled(Pooled&& other) noexcept = default;
  Pooled& operator=(Pooled&& other) noexcept {
    Pooled taken(std::move(other));
    std::swap(block_, taken.block_);
    return *this;
  }
  ~Pooled() { reset(); }

  explicit operator bool() const { return static_cast<bool>(block_); }
  [[nodiscard]] T& operator*() const { return *get(); }
  [[nodiscard]] T* operator->() const { return get(); }
  [[nodiscard]] T* get() const { return std::launder(reinterpret_cast<T*>(block_.data())); }

  void reset() {
    if (!block_) return;
    get()->~T();
    block_.reset();
  }

 private:
  Block block_;
};

}  // namespace hawser
