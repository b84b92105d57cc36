#include "binding/systemd_notify.hpp"

#include <string>

#include "binding/values.hpp"

#ifdef __linux__
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#endif

namespace hawser::binding {

#ifdef __linux__

namespace {

void throw_errno(Napi::Env env, const char* operation) {
  throw_system_error(env, {.code = SocketErrorCode::kOther, .system_errno = errno, .operation = operation});
}

// Fills an address. Returns its length, or 0 when there is none of that path.
socklen_t unix_address(sockaddr_un& address, const std::string& path) {
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path)) return 0;
  if (path.front() != '/' && path.front() != '@') return 0;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  // unix(7): a name of the abstract namespace begins with a zero byte, and has none at its end.
  if (path.front() == '@') address.sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                (path.front() == '/' ? 1 : 0));
}

}  // namespace

void systemd_notify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto path = read_string(info[0], "path");
  const auto message = read_string(info[1], "message");
  if (!path || !message) return;
  sockaddr_un address{};
  const socklen_t length = unix_address(address, *path);
  if (length == 0) return throw_type_error(env, "path must be that of a Unix socket");
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return throw_errno(env, "socket");
  // Nothing waits for a manager that does not read.
  const ssize_t sent = ::sendto(descriptor, message->data(), message->size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), length);
  if (sent < 0) throw_errno(env, "sendto");
  ::close(descriptor);
}

#else

void systemd_notify(const Napi::CallbackInfo& info) {
  throw_coded(info.Env(), "ENOTSUP", "there is systemd on Linux only");
}

#endif

}  // namespace hawser::binding
