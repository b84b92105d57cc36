#include "binding/event_buffers.hpp"

#include "binding/array_buffers.hpp"

namespace hawser::binding {

namespace {

// Whether the buffers are those of the storage's memory, or were before a user took them away.
bool seen(const ExposedBatches::Storage& storage) {
  const EventBuffers& view = storage.view;
  if (view.slab.IsEmpty()) return false;
  Napi::ArrayBuffer slab = view.slab.Value();
  return slab.IsDetached() || slab.Data() == storage.slab.data();
}

bool taken_away(const EventBuffers& buffers) {
  return buffers.slab.Value().IsDetached() || buffers.descriptors.Value().IsDetached();
}

bool expose_storage(Napi::Env env, ExposedBatches::Storage& storage) {
  const Napi::ArrayBuffer slab = expose(env, storage.slab);
  if (slab.IsEmpty()) return false;
  storage.view.slab = Napi::Persistent(slab);
  // A slab that grew has the descriptors of the one before it.
  if (!storage.view.descriptors.IsEmpty()) return true;
  const Napi::ArrayBuffer descriptors = expose(env, storage.descriptors);
  if (descriptors.IsEmpty()) return false;
  storage.view.descriptors = Napi::Persistent(descriptors);
  return true;
}

}  // namespace

ExposedBatches::Storage* take(Napi::Env env, ExposedBatches& batches, std::uint64_t& replaced) {
  ExposedBatches::Storage* storage = batches.take();
  if (storage == nullptr) return nullptr;
  if (seen(*storage)) {
    if (!taken_away(storage->view)) return storage;
    ++replaced;
    storage = batches.replace(storage);
  }
  return expose_storage(env, *storage) ? storage : nullptr;
}

void give_back(ExposedBatches& batches, ExposedBatches::Storage* storage, std::uint64_t& replaced) {
  if (!taken_away(storage->view)) return batches.give_back(storage);
  ++replaced;
  batches.discard(storage);
}

}  // namespace hawser::binding
