#include "binding/event_batches.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

namespace hawser::binding {

void EventBatches::start(EventQueue& queue, std::size_t longest_message, std::size_t storages) {
  static_assert(kOnOtherThread < kRing);
  slab_bytes_ = std::max(kLeastSlabBytes, longest_message + kSlabReserve);
  usual_ = storages;
  while (storages_.size() < usual_) hand_out(add());
  use_empty(queue);
}

bool EventBatches::set_aside(EventQueue& queue) {
  bool any = false;
  // A new storage begins with what the queue has kept.
  while (set_one_aside(queue)) any = true;
  return any;
}

bool EventBatches::set_one_aside(EventQueue& queue) {
  if (queue.count() == 0) return false;
  if (!may_set_aside(queue)) {
    // Asked again afterwards: what happened before this is not told of.
    waits_.exchange(true, std::memory_order_acq_rel);
    if (!may_set_aside(queue)) return false;
    waits_.exchange(false, std::memory_order_acq_rel);
  }
  Storage* const filled = current_;
  filled->count = queue.count();
  filled->slab_used = queue.slab_used();
  use_empty(queue);
  [[maybe_unused]] const bool pushed = filled_.push(filled);
  assert(pushed && "there are fewer storages than places");
  return true;
}

void EventBatches::use_empty(EventQueue& queue) {
  const std::optional<Storage*> empty = empty_.pop();
  assert(empty && "asked before");
  current_ = *empty;
  auto* const descriptors = reinterpret_cast<EventDescriptor*>(current_->descriptors.data());
  queue.use({current_->slab.data(), current_->slab.size()}, {descriptors, kSlabDescriptors});
}

void EventBatches::make_room() {
  collect();
  if (empty_.empty()) hand_out(add());
}

EventBatches::Storage* EventBatches::add() {
  return storages_.emplace_back(std::make_unique<Storage>(slab_bytes_)).get();
}

void EventBatches::collect() {
  while (const std::optional<Storage*> filled = filled_.pop()) collected_.push_back(*filled);
}

bool EventBatches::waiting() {
  collect();
  return next_ < collected_.size();
}

EventBatches::Storage* EventBatches::take(Napi::Env env, std::uint64_t& replaced) {
  if (!waiting()) return nullptr;
  Storage* const storage = collected_[next_++];
  if (next_ == collected_.size()) {
    collected_.clear();
    next_ = 0;
  }
  if (storage->slab_buffer.IsEmpty()) return expose(env, *storage) ? storage : nullptr;
  if (!taken_away(*storage)) return storage;
  ++replaced;
  Storage* const fresh = add();
  fresh->count = storage->count;
  fresh->slab_used = storage->slab_used;
  std::memcpy(fresh->slab.data(), storage->slab.data(), storage->slab_used);
  std::memcpy(fresh->descriptors.data(), storage->descriptors.data(),
              storage->count * sizeof(EventDescriptor));
  remove(storage);
  return expose(env, *fresh) ? fresh : nullptr;
}

void EventBatches::give_back(Storage* storage, std::uint64_t& replaced) {
  const bool taken = taken_away(*storage);
  const bool needed = storages_.size() <= usual_;
  if (taken || !needed) remove(storage);
  if (taken) ++replaced;
  if (needed) hand_out(taken ? add() : storage);
}

bool EventBatches::taken_away(const Storage& storage) {
  return storage.slab_buffer.Value().IsDetached() || storage.descriptors_buffer.Value().IsDetached();
}

void EventBatches::remove(Storage* storage) {
  std::erase_if(storages_, [storage](const auto& each) { return each.get() == storage; });
}

void EventBatches::hand_out(Storage* storage) {
  [[maybe_unused]] const bool pushed = empty_.push(storage);
  assert(pushed && "there are fewer storages than places");
}

void EventBatches::clear() {
  collect();
  for (; next_ < collected_.size(); ++next_) hand_out(collected_[next_]);
  collected_.clear();
  next_ = 0;
}

bool EventBatches::expose(Napi::Env env, Storage& storage) {
  const Napi::ArrayBuffer slab = storage.slab.expose(env);
  if (slab.IsEmpty()) return false;
  const Napi::ArrayBuffer descriptors = storage.descriptors.expose(env);
  if (descriptors.IsEmpty()) return false;
  storage.slab_buffer = Napi::Persistent(slab);
  storage.descriptors_buffer = Napi::Persistent(descriptors);
  return true;
}

}  // namespace hawser::binding
