// The one-time set-up of libsodium.
#pragma once

namespace hawser {

// Picks libsodium's fastest implementations for this processor and opens the system's random source. Must
// have succeeded before anything else of crypto/ is used. May be called any number of times, from any thread.
// False when libsodium cannot start (no source of randomness).
[[nodiscard]] bool initialise();

// The version of the libsodium that is linked in, such as "1.0.18". A string that lives for ever.
[[nodiscard]] const char* sodium_version();

}  // namespace hawser
