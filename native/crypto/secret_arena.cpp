#include "crypto/secret_arena.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <functional>

#include "crypto/secret.hpp"

namespace hawser {

SecretArena::~SecretArena() {
  for (const SecretPages& chunk : chunks_) unmap_secret_pages(chunk);
}

MutableBytes SecretArena::take(std::size_t size, bool must_lock) {
  assert(size > 0 && size <= kMaxSize);
  const std::size_t slot_class = class_of(size);
  std::vector<std::byte*>& locked = free_locked_[slot_class];
  std::vector<std::byte*>& unlocked = free_unlocked_[slot_class];
  if (locked.empty() && (must_lock || unlocked.empty()) && !grow(slot_class, must_lock)) return {};
  std::vector<std::byte*>& from = locked.empty() ? unlocked : locked;
  std::byte* const slot = from.back();
  from.pop_back();
  used_bytes_ += kMinSlot << slot_class;
  return {slot, size};
}

void SecretArena::give_back(MutableBytes taken) {
  const std::size_t slot_class = class_of(taken.size());
  const std::size_t slot_size = kMinSlot << slot_class;
  wipe({taken.data(), slot_size});
  used_bytes_ -= slot_size;
  const std::less_equal<const std::byte*> not_after;
  const auto chunk = std::ranges::find_if(chunks_, [&](const SecretPages& each) {
    return not_after(each.bytes.data(), taken.data()) &&
           not_after(taken.data() + slot_size, each.bytes.data() + each.bytes.size());
  });
  assert(chunk != chunks_.end());
  (chunk->locked ? free_locked_ : free_unlocked_)[slot_class].push_back(taken.data());
}

void SecretArena::wipe_all() {
  for (const SecretPages& chunk : chunks_) wipe(chunk.bytes);
}

std::size_t SecretArena::class_of(std::size_t size) {
  const std::size_t slot = std::bit_ceil(std::max(size, kMinSlot));
  return static_cast<std::size_t>(std::countr_zero(slot) - std::countr_zero(kMinSlot));
}

bool SecretArena::grow(std::size_t slot_class, bool must_lock) {
  const SecretPages chunk = source_(kChunkSize);
  if (chunk.bytes.empty()) return false;
  if (must_lock && !chunk.locked) {
    unmap_secret_pages(chunk);
    return false;
  }
  chunks_.push_back(chunk);
  (chunk.locked ? locked_bytes_ : unlocked_bytes_) += chunk.bytes.size();
  std::vector<std::byte*>& free = (chunk.locked ? free_locked_ : free_unlocked_)[slot_class];
  const std::size_t slot_size = kMinSlot << slot_class;
  const std::size_t count = chunk.bytes.size() / slot_size;
  for (std::size_t slot = count; slot-- > 0;) free.push_back(chunk.bytes.data() + slot * slot_size);
  return true;
}

}  // namespace hawser
