// In the place of the C++ library's own, which is a tenth of the whole addon and there for one purpose: to write the
// names of exceptions that nobody catches. The addon is compiled without exceptions.
#include <stddef.h>

char* __cxa_demangle(const char* name, char* buffer, size_t* length, int* status) {
  (void)name;
  (void)buffer;
  (void)length;
  if (status != NULL) *status = -1;
  return NULL;
}
