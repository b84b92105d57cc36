// Lets a C++ program for musl run with the GNU C++ library of a system with glibc, when that is the only one at hand:
// what that library takes from glibc and musl does not have. For trying the addon, which contains its own C++ library
// and needs none of this.
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;
struct {
  unsigned words[4];
} __cpu_model;

int __cpu_indicator_init(void) { return 0; }

int _dl_find_object(void* address, void* result) {
  (void)address;
  (void)result;
  return -1;
}

// Threads of a short try do not give back what they hold.
int __cxa_thread_atexit_impl(void (*end)(void*), void* object, void* library) {
  (void)end;
  (void)object;
  (void)library;
  return 0;
}

size_t __strftime_l(char* out, size_t size, const char* format, const struct tm* time, locale_t locale) {
  return strftime_l(out, size, format, time, locale);
}

uint32_t arc4random(void) {
  uint32_t value = 0;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {
  }
  return value;
}

// std::string::_M_replace_cold of GCC 13: replaces a part by bytes of the string itself.
void _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm(
    void* self, char* at, size_t old_length, const char* bytes, size_t new_length, size_t tail) {
  (void)self;
  if (new_length != 0 && new_length <= old_length) memmove(at, bytes, new_length);
  if (tail != 0 && old_length != new_length) memmove(at + new_length, at + old_length, tail);
  if (new_length <= old_length) return;
  if (bytes + new_length <= at + old_length) {
    memmove(at, bytes, new_length);
  } else if (bytes >= at + old_length) {
    memcpy(at, bytes + (new_length - old_length), new_length);
  } else {
    const size_t before = (size_t)(at + old_length - bytes);
    memmove(at, bytes, before);
    memcpy(at + before, at + new_length, new_length - before);
  }
}
