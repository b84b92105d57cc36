#include "crypto/sodium.hpp"

#include <sodium.h>

namespace hawser {

bool initialise() { return sodium_init() >= 0; }

}  // namespace hawser
