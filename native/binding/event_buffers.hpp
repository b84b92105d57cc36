// The batches of events as JavaScript reads them: a storage is two ArrayBuffers, which a user may take away.
#pragma once

#include <napi.h>

#include <cstdint>

#include "io/event_batches.hpp"

namespace hawser::binding {

// The ArrayBuffers over a storage's slab and descriptors, made when JavaScript first sees them.
struct EventBuffers {
  Napi::Reference<Napi::ArrayBuffer> slab;
  Napi::Reference<Napi::ArrayBuffer> descriptors;
};

using ExposedBatches = EventBatches<EventBuffers>;
using ExposedStorages = EventStoragePool<EventBuffers>;

// EventBatches::take(), with buffers that JavaScript can read: those that a user took away are replaced, with
// the events in them. Adds to `replaced` then. nullptr when none waits, and with an exception pending when no
// buffer can be made.
[[nodiscard]] ExposedBatches::Storage* take(Napi::Env env, ExposedBatches& batches, std::uint64_t& replaced);

// Gives back a storage that JavaScript has read. One that a user took away in the meantime is replaced. Adds
// to `replaced` then.
void give_back(ExposedBatches& batches, ExposedBatches::Storage* storage, std::uint64_t& replaced);

}  // namespace hawser::binding
