#include "binding/event_batches.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace hawser::binding {

namespace {

void use(EventQueue& queue, EventBatches::Storage& storage) {
  auto* const descriptors = reinterpret_cast<EventDescriptor*>(storage.descriptors.data());
  queue.use({storage.slab.data(), storage.slab.size()}, {descriptors, kSlabDescriptors});
}

}  // namespace

void EventBatches::start(EventQueue& queue, std::size_t longest_message) {
  slab_bytes_ = std::max(kLeastSlabBytes, longest_message + kSlabReserve);
  use_empty(queue);
}

void EventBatches::use_empty(EventQueue& queue) {
  current_ = empty_storage();
  use(queue, *current_);
}

void EventBatches::set_aside(EventQueue& queue) {
  if (queue.count() == 0) return;
  current_->count = queue.count();
  current_->slab_used = queue.slab_used();
  filled_.push_back(std::move(current_));
  use_empty(queue);
}

std::unique_ptr<EventBatches::Storage> EventBatches::take(Napi::Env env, std::uint64_t& replaced) {
  if (!waiting()) return nullptr;
  std::unique_ptr<Storage> storage = std::move(filled_[next_++]);
  if (!waiting()) {
    filled_.clear();
    next_ = 0;
  }
  if (storage->slab_buffer.IsEmpty()) return expose(env, *storage) ? std::move(storage) : nullptr;
  if (!storage->slab_buffer.Value().IsDetached() && !storage->descriptors_buffer.Value().IsDetached())
    return storage;
  ++replaced;
  auto fresh = std::make_unique<Storage>(slab_bytes_);
  fresh->count = storage->count;
  fresh->slab_used = storage->slab_used;
  std::memcpy(fresh->slab.data(), storage->slab.data(), storage->slab_used);
  std::memcpy(fresh->descriptors.data(), storage->descriptors.data(),
              storage->count * sizeof(EventDescriptor));
  return expose(env, *fresh) ? std::move(fresh) : nullptr;
}

void EventBatches::give_back(std::unique_ptr<Storage> storage) {
  if (!spare_) spare_ = std::move(storage);
}

void EventBatches::clear() {
  filled_.clear();
  next_ = 0;
}

std::unique_ptr<EventBatches::Storage> EventBatches::empty_storage() {
  if (spare_) return std::move(spare_);
  return std::make_unique<Storage>(slab_bytes_);
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
