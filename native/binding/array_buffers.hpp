// Memory that native code and JavaScript both see. It lives as long as either holds it: JavaScript may keep,
// transfer or drop its ArrayBuffer at any time, native code may go on writing.
#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>

#include "base/shared_memory.hpp"

namespace hawser::binding {

// An ArrayBuffer over it; once per memory (V8 allows one ArrayBuffer per address). Empty, with an exception
// pending, where the runtime forbids buffers outside of its heap.
[[nodiscard]] inline Napi::ArrayBuffer expose(Napi::Env env, const SharedMemory& memory) {
  auto holder = std::make_unique<std::shared_ptr<std::byte[]>>(memory.share());
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, memory.data(), memory.size(),
      [](Napi::Env /*env*/, void* /*data*/, std::shared_ptr<std::byte[]>* held) { delete held; },
      holder.get());
  if (!buffer.IsEmpty()) static_cast<void>(holder.release());
  return buffer;
}

}  // namespace hawser::binding
