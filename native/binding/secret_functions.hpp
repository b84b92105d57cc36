// Secrets in locked memory, and what is computed with them where JavaScript keeps no copy.
#pragma once

#include <napi.h>

namespace hawser::binding {

// The object `secrets` of the addon, with the memory of this environment, which is wiped when the environment
// ends.
[[nodiscard]] Napi::Object secret_functions(Napi::Env env);

}  // namespace hawser::binding
