// libsodium's view of bytes, for the files of this folder.
#pragma once

#include "base/bytes.hpp"

namespace hawser {

inline unsigned char* sodium_bytes(MutableBytes bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}
inline const unsigned char* sodium_bytes(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace hawser
