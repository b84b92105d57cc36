/* Stands between a process and the C library (LD_PRELOAD) where stores are written: it logs what is written, synced and acknowledged, in
 * this order, and lets writes fail. disk-shim.ts drives it.
 *
 * HAWSER_DISK_LOG   file to which one line is appended per event, see `log_event`.
 * HAWSER_DISK_FAIL  file that, while it exists, says which calls fail: "KIND ERRNO AFTER", KIND one of write (changed pages), short (the
 *                   same, half of it is written first), meta (the page that makes a commit current) and sync; AFTER how many of them pass.
                   KIND room: the disk says that it has none left.
 *
 * Files of stores are those named data.mdb; a file named marks is where the process says what it acknowledges. Payloads are runs of
 * "payload:DIGITS;" in what is written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_named(int fd, const char *name) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  const char *last = strrchr(path, '/');
  return last != NULL && strcmp(last + 1, name) == 0;
}

static int is_store(int fd) { return is_named(fd, "data.mdb"); }

/* The descriptor by which LMDB writes the page that makes a commit current: each write is a sync. */
static int is_meta(int fd) { return (fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

static void log_event(const char *format, ...) {
  const char *path = getenv("HAWSER_DISK_LOG");
  if (path == NULL) return;
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  int saved = errno;
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) {
    REAL(write)(fd, line, length);
    close(fd);
  }
  errno = saved;
}

/* Whether a call of that kind fails now, with which errno. */
static int failing(const char *kind) {
  static char last[64];
  static int passed;
  const char *path = getenv("HAWSER_DISK_FAIL");
  if (path == NULL) return 0;
  char rule[64] = "";
  pthread_mutex_lock(&lock);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t length = read(fd, rule, sizeof rule - 1);
    rule[length < 0 ? 0 : length] = 0;
    close(fd);
  }
  if (strcmp(rule, last) != 0) {
    strcpy(last, rule);
    passed = 0;
  }
  char wanted[16] = "";
  int number = 0, after = 0;
  int fails = 0;
  if (sscanf(rule, "%15s %d %d", wanted, &number, &after) == 3 && strcmp(wanted, kind) == 0) {
    if (passed++ >= after) fails = number;
  }
  pthread_mutex_unlock(&lock);
  return fails;
}

static void log_payloads(const struct iovec *parts, int count) {
  static const char mark[] = "payload:";
  for (int part = 0; part < count; ++part) {
    const char *at = parts[part].iov_base;
    const char *end = at + parts[part].iov_len;
    while ((at = memmem(at, end - at, mark, sizeof mark - 1)) != NULL) {
      at += sizeof mark - 1;
      char digits[21];
      int length = 0;
      while (at < end && length < 20 && *at >= '0' && *at <= '9') digits[length++] = *at++;
      digits[length] = 0;
      if (at < end && *at == ';') log_event("payload %s", digits);
    }
  }
}

/* Without an offset: at the place of the descriptor. */
static ssize_t store_write(int fd, const struct iovec *parts, int count, off_t offset) {
  const int meta = is_meta(fd);
  int error = failing(meta ? "meta" : "write");
  const int cut = !meta && error == 0 && (error = failing("short")) != 0;
  log_event("begin %s", meta ? "meta" : "write");
  ssize_t result = -1;
  if (error == 0) {
    result = offset < 0 ? REAL(writev)(fd, parts, count) : REAL(pwritev)(fd, parts, count, offset);
    log_payloads(parts, count);
  } else if (cut) {
    const struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
    result = offset < 0 ? REAL(writev)(fd, &half, 1) : REAL(pwritev)(fd, &half, 1, offset);
  } else {
    errno = error;
  }
  log_event("end %s %d", meta ? "meta" : "write", result < 0 || cut ? error : 0);
  return result;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  if (!is_store(fd)) return REAL(pwritev)(fd, parts, count, offset);
  return store_write(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return pwritev(fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!is_store(fd)) return REAL(writev)(fd, parts, count);
  return store_write(fd, parts, count, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  if (!is_store(fd)) return REAL(pwrite)(fd, bytes, length, offset);
  const struct iovec part = {(void *)bytes, length};
  return store_write(fd, &part, 1, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return pwrite(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (fd > 2 && is_named(fd, "marks")) log_event("mark %.*s", (int)length, (const char *)bytes);
  return REAL(write)(fd, bytes, length);
}

static int synced(int fd, int (*sync)(int)) {
  if (!is_store(fd)) return sync(fd);
  log_event("begin sync");
  int error = failing("sync");
  int result = -1;
  if (error == 0) {
    result = sync(fd);
    if (result != 0) error = errno;
  } else {
    errno = error;
  }
  log_event("end sync %d", error);
  return result;
}

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int statfs(const char *path, struct statfs *disk) {
  int result = REAL(statfs)(path, disk);
  if (result == 0 && failing("room") != 0) disk->f_bavail = 0;
  return result;
}

int statfs64(const char *path, struct statfs64 *disk) {
  int result = REAL(statfs64)(path, disk);
  if (result == 0 && failing("room") != 0) disk->f_bavail = 0;
  return result;
}

/* LMDB 3.5.6 puts this text into 100 bytes when a write fails, however long it is: what is tested is what happens afterwards. */
int sprintf(char *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = strncmp(format, "Attempting to write page", 24) == 0 ? vsnprintf(text, 100, format, arguments)
                                                                    : vsprintf(text, format, arguments);
  va_end(arguments);
  return length;
}
