#include "crypto/secret.hpp"

#include <sodium.h>

namespace hawser {

void wipe(MutableBytes bytes) { sodium_memzero(bytes.data(), bytes.size()); }

bool constant_time_equal(Bytes a, Bytes b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace hawser
