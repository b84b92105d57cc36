#include "binding/event_buffers.hpp"

#include "binding/array_buffers.hpp"

namespace hawser::binding {

namespace {

bool taken_away(const EventBuffers& buffers) {
  return buffers.slab.Value().IsDetached() || buffers.descriptors.Value().IsDetached();
}

bool expose_storage(Napi::Env env, ExposedBatches::Storage& storage) {
  const Napi::ArrayBuffer slab = expose(env, storage.slab);
  if (slab.IsEmpty()) return false;
  const Napi::ArrayBuffer descriptors = expose(env, storage.descriptors);
  if (descriptors.IsEmpty()) return false;
  storage.view.slab = Napi::Persistent(slab);
  storage.view.descriptors = Napi::Persistent(descriptors);
  return true;
}

}  // namespace

ExposedBatches::Storage* take(Napi::Env env, ExposedBatches& batches, std::uint64_t& replaced) {
  ExposedBatches::Storage* storage = batches.take();
  if (storage == nullptr) return nullptr;
  if (!storage->view.slab.IsEmpty()) {
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
