// The notification socket of systemd (sd_notify(3)): a Unix datagram socket, of which Node has none.
#pragma once

#include <napi.h>

namespace hawser::binding {

// systemdNotify(path, message): sends one datagram to the socket of that path, which begins with `@` in the
// abstract namespace. Throws a system error, and one with the code ENOTSUP where there is no Linux.
void systemd_notify(const Napi::CallbackInfo& info);

}  // namespace hawser::binding
