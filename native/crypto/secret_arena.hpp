// Room for secrets whose number and lives are not known: slots in locked pages.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "base/bytes.hpp"
#include "crypto/secret_pages.hpp"

namespace hawser {

// Slots of 16, 32, ... 1,024 bytes. Pages are mapped some at a time for slots of one size, and kept for the
// arena's life: a program needs as many secrets tomorrow as today. For one thread.
class SecretArena {
 public:
  static constexpr std::size_t kMaxSize = 1024;
  static constexpr std::size_t kChunkSize = std::size_t{16} * 1024;

  // Where pages come from; tests have others.
  using Source = SecretPages (*)(std::size_t size);

  explicit SecretArena(Source source = &map_secret_pages) : source_(source) {}
  SecretArena(const SecretArena&) = delete;
  SecretArena& operator=(const SecretArena&) = delete;
  // Wipes whatever is still taken.
  ~SecretArena();

  // `size` zeros, 1 to kMaxSize. Empty when there is no memory, and when there is none that can be locked
  // while `must_lock` says that it has to be.
  [[nodiscard]] MutableBytes take(std::size_t size, bool must_lock);

  // Wipes a slot, with all that is behind its `size`, and gives it back.
  void give_back(MutableBytes taken);

  // Wipes all there is, taken or not; slots stay taken.
  void wipe_all();

  // Of all pages.
  [[nodiscard]] std::size_t locked_bytes() const { return locked_bytes_; }
  [[nodiscard]] std::size_t unlocked_bytes() const { return unlocked_bytes_; }
  // Of the slots that are taken.
  [[nodiscard]] std::size_t used_bytes() const { return used_bytes_; }

 private:
  static constexpr std::size_t kMinSlot = 16;
  static constexpr std::size_t kClasses = 7;

  [[nodiscard]] static std::size_t class_of(std::size_t size);
  [[nodiscard]] bool grow(std::size_t slot_class, bool must_lock);

  Source source_;
  std::vector<SecretPages> chunks_;
  // Slots that are free, by size. Kept apart, since nothing but secrets and zeros is in the pages; those in
  // locked pages apart from the others.
  std::array<std::vector<std::byte*>, kClasses> free_locked_;
  std::array<std::vector<std::byte*>, kClasses> free_unlocked_;
  std::size_t locked_bytes_ = 0;
  std::size_t unlocked_bytes_ = 0;
  std::size_t used_bytes_ = 0;
};

}  // namespace hawser
