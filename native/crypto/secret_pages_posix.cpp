// mmap(2) and mlock(2), and what the systems have besides.
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/secret.hpp"
#include "crypto/secret_pages.hpp"

namespace hawser {

namespace {

std::size_t whole_pages(std::size_t size, std::size_t page) { return (size + page - 1) / page * page; }

}  // namespace

SecretPages map_secret_pages(std::size_t size) {
  const std::size_t length = whole_pages(size, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  void* const memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {};
#if defined(MADV_DONTDUMP)
  madvise(memory, length, MADV_DONTDUMP);
#elif defined(MADV_NOCORE)
  madvise(memory, length, MADV_NOCORE);
#endif
#if defined(MADV_WIPEONFORK)
  madvise(memory, length, MADV_WIPEONFORK);
#endif
  // Refused beyond RLIMIT_MEMLOCK, and in some containers altogether.
  return {{static_cast<std::byte*>(memory), length}, mlock(memory, length) == 0};
}

void unmap_secret_pages(const SecretPages& pages) {
  wipe(pages.bytes);
  if (pages.locked) munlock(pages.bytes.data(), pages.bytes.size());
  munmap(pages.bytes.data(), pages.bytes.size());
}

}  // namespace hawser
