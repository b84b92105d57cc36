#include "crypto/sodium.hpp"

#include <sodium.h>

namespace hawser {

bool initialise() { return sodium_init() >= 0; }

const char* sodium_version() { return sodium_version_string(); }

}  // namespace hawser
