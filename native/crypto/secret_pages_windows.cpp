// VirtualAlloc and VirtualLock.
#include <windows.h>

#include "crypto/secret.hpp"
#include "crypto/secret_pages.hpp"

namespace hawser {

namespace {

std::size_t whole_pages(std::size_t size, std::size_t page) { return (size + page - 1) / page * page; }

}  // namespace

SecretPages map_secret_pages(std::size_t size) {
  SYSTEM_INFO system{};
  GetSystemInfo(&system);
  const std::size_t length = whole_pages(size, system.dwPageSize);
  void* const memory = VirtualAlloc(nullptr, length, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (memory == nullptr) return {};
  return {{static_cast<std::byte*>(memory), length}, VirtualLock(memory, length) != 0};
}

void unmap_secret_pages(const SecretPages& pages) {
  wipe(pages.bytes);
  if (pages.locked) VirtualUnlock(pages.bytes.data(), pages.bytes.size());
  VirtualFree(pages.bytes.data(), 0, MEM_RELEASE);
}

}  // namespace hawser
