// Pages of memory that the system is asked to keep from disks, core dumps and child processes.
#pragma once

#include <cstddef>

#include "base/bytes.hpp"

namespace hawser {

struct SecretPages {
  // Empty when there is no memory.
  MutableBytes bytes;
  // Whether the system promised not to write them to a swap file.
  bool locked = false;
};

// Zeroed pages, `size` bytes rounded up to whole ones. What a system cannot do is left out, but for `locked`
// without a word: no part in core dumps (Linux, FreeBSD), zeros in the child after fork() (Linux).
[[nodiscard]] SecretPages map_secret_pages(std::size_t size);

// Overwrites them and gives them back.
void unmap_secret_pages(const SecretPages& pages);

}  // namespace hawser
