// The settings of a link, as NativeLinkSettings of src/transport/native.ts declares them.
#pragma once

#include <napi.h>

#include "io/link_model.hpp"

namespace hawser::binding {

// What is missing or is no number counts as 0: the TypeScript above has checked it. An exception may be
// pending afterwards, from a getter.
[[nodiscard]] LinkSettings read_link_settings(const Napi::Object& object);

}  // namespace hawser::binding
