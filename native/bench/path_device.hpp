// A TUN device in a network namespace of its own: one end of the link of the path rows. Linux only.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "path_ipv4.hpp"

namespace hawser::bench {

inline constexpr int kPacketBytes = 1500;
// Packets that wait in the kernel until the link reads them: more than any sender has in flight at once.
inline constexpr int kDeviceQueue = 10'000;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }

  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_ = -1;
};

// The network namespace of this process when the object was made.
class CurrentNamespace {
 public:
  CurrentNamespace() : descriptor_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {}

  [[nodiscard]] bool is_open() const { return descriptor_.is_open(); }
  [[nodiscard]] int descriptor() const { return descriptor_.number(); }
  // Returns false and sets errno when the kernel refuses.
  [[nodiscard]] bool enter() const { return setns(descriptor_.number(), CLONE_NEWNET) == 0; }

 private:
  Descriptor descriptor_;
};

// The step that failed, and errno.
struct Failure {
  const char* step;
  int error;
};

class PathDevice {
 public:
  PathDevice(std::string name, Ipv4Address address) : name_(std::move(name)), address_(address) {}

  // Makes the namespace and the device, which then is up. Afterwards this process is in the new namespace.
  // `congestion`: the congestion control of TCP there; the kernel's default when it is empty.
  [[nodiscard]] std::optional<Failure> make(const std::string& congestion) {
    if (unshare(CLONE_NEWNET) != 0) return Failure{"unshare(CLONE_NEWNET)", errno};
    namespace_.emplace();
    if (!namespace_->is_open()) return Failure{"open /proc/self/ns/net", errno};
    tun_ = Descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tun_.is_open()) return Failure{"open /dev/net/tun", errno};
    ifreq request = named(name_);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(tun_.number(), TUNSETIFF, &request) != 0) return Failure{"ioctl TUNSETIFF", errno};
    if (const auto failure = bring_up()) return failure;
    if (!congestion.empty()) return set_congestion(congestion);
    return std::nullopt;
  }

  [[nodiscard]] int descriptor() const { return tun_.number(); }
  [[nodiscard]] int namespace_descriptor() const { return namespace_->descriptor(); }
  [[nodiscard]] Ipv4Address address() const { return address_; }

  // Packets that the kernel dropped because the link did not read them in time. This process must be in the
  // namespace `home`, and is so again afterwards.
  [[nodiscard]] std::uint64_t dropped(const CurrentNamespace& home) const {
    if (!namespace_->enter()) return 0;
    const std::uint64_t count = read_dropped();
    // It came from there, so that it can go back.
    static_cast<void>(home.enter());
    return count;
  }

 private:
  static constexpr Ipv4Address kMask = 0xffff'ff00;
  static constexpr unsigned char kMaskBits = 24;

  // Replaces the route of the device.
  struct RouteRequest {
    nlmsghdr head{.nlmsg_len = NLMSG_LENGTH(sizeof(rtmsg)),
                  .nlmsg_type = RTM_NEWROUTE,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                  .nlmsg_seq = 1,
                  .nlmsg_pid = 0};
    rtmsg route{};
    std::array<std::byte, 256> attributes{};

    RouteRequest() {
      route.rtm_family = AF_INET;
      route.rtm_dst_len = kMaskBits;
      route.rtm_table = RT_TABLE_MAIN;
      route.rtm_protocol = RTPROT_KERNEL;
      route.rtm_scope = RT_SCOPE_LINK;
      route.rtm_type = RTN_UNICAST;
    }

    void add(unsigned short type, std::uint32_t value) { put(type, &value, sizeof value); }

    // A list of metrics with this one in it.
    void add_congestion(const std::string& name) {
      const std::size_t length = RTA_LENGTH(RTA_ALIGN(RTA_LENGTH(name.size() + 1)));
      const rtattr list{.rta_len = static_cast<unsigned short>(length), .rta_type = RTA_METRICS};
      std::memcpy(end(), &list, sizeof list);
      head.nlmsg_len += sizeof list;
      put(RTAX_CC_ALGO, name.c_str(), name.size() + 1);
    }

   private:
    [[nodiscard]] std::byte* end() { return reinterpret_cast<std::byte*>(this) + head.nlmsg_len; }

    void put(unsigned short type, const void* data, std::size_t size) {
      const rtattr attribute{.rta_len = static_cast<unsigned short>(RTA_LENGTH(size)), .rta_type = type};
      std::memcpy(end(), &attribute, sizeof attribute);
      std::memcpy(end() + sizeof attribute, data, size);
      head.nlmsg_len += static_cast<std::uint32_t>(RTA_ALIGN(RTA_LENGTH(size)));
    }
  };

  static ifreq named(const std::string& name) {
    ifreq request{};
    std::copy_n(name.data(), std::min(name.size(), sizeof request.ifr_name - 1), request.ifr_name);
    return request;
  }

  static sockaddr internet(Ipv4Address address) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(address);
    sockaddr generic{};
    std::memcpy(&generic, &name, sizeof generic);
    return generic;
  }

  [[nodiscard]] std::optional<Failure> bring_up() const {
    const Descriptor control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!control.is_open()) return Failure{"socket", errno};
    const auto ask = [&](unsigned long what, ifreq request) {
      return ioctl(control.number(), what, &request) == 0;
    };
    ifreq request = named(name_);
    request.ifr_addr = internet(address_);
    if (!ask(SIOCSIFADDR, request)) return Failure{"ioctl SIOCSIFADDR", errno};
    request.ifr_netmask = internet(kMask);
    if (!ask(SIOCSIFNETMASK, request)) return Failure{"ioctl SIOCSIFNETMASK", errno};
    request = named(name_);
    request.ifr_mtu = kPacketBytes;
    if (!ask(SIOCSIFMTU, request)) return Failure{"ioctl SIOCSIFMTU", errno};
    request = named(name_);
    request.ifr_qlen = kDeviceQueue;
    if (!ask(SIOCSIFTXQLEN, request)) return Failure{"ioctl SIOCSIFTXQLEN", errno};
    for (const std::string& device : {name_, std::string("lo")}) {
      request = named(device);
      request.ifr_flags = IFF_UP | IFF_RUNNING;
      if (!ask(SIOCSIFFLAGS, request)) return Failure{"ioctl SIOCSIFFLAGS", errno};
    }
    return std::nullopt;
  }

  // Gives the route to the other end a congestion control. The sysctl tcp_congestion_control is not enough:
  // in a namespace other than the first it takes only what tcp_allowed_congestion_control lists.
  [[nodiscard]] std::optional<Failure> set_congestion(const std::string& name) const {
    const Descriptor netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!netlink.is_open()) return Failure{"socket(AF_NETLINK)", errno};
    RouteRequest request;
    request.add(RTA_DST, htonl(address_ & kMask));
    request.add(RTA_OIF, if_nametoindex(name_.c_str()));
    request.add(RTA_PREFSRC, htonl(address_));
    request.add_congestion(name);
    std::array<std::byte, 1024> answer{};
    if (send(netlink.number(), &request, request.head.nlmsg_len, 0) < 0 ||
        recv(netlink.number(), answer.data(), answer.size(), 0) < 0)
      return Failure{"netlink RTM_NEWROUTE", errno};
    nlmsgerr result{};
    std::memcpy(&result, answer.data() + NLMSG_HDRLEN, sizeof result);
    if (result.error != 0) return Failure{"tcpCongestion", -result.error};
    return std::nullopt;
  }

  // From the line of the device in /proc/net/dev: eight figures about receipt, then bytes, packets, errors
  // and drops of sending.
  [[nodiscard]] std::uint64_t read_dropped() const {
    std::FILE* file = std::fopen("/proc/thread-self/net/dev", "re");
    if (file == nullptr) return 0;
    std::uint64_t dropped = 0;
    std::array<char, 512> line{};
    while (std::fgets(line.data(), line.size(), file) != nullptr) {
      const std::string text(line.data());
      const std::size_t colon = text.find(name_ + ":");
      if (colon == std::string::npos) continue;
      constexpr const char* kFigures = "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64;
      if (std::sscanf(text.c_str() + colon + name_.size() + 1, kFigures, &dropped) != 1) dropped = 0;
    }
    std::fclose(file);
    return dropped;
  }

  std::string name_;
  Ipv4Address address_;
  std::optional<CurrentNamespace> namespace_;
  Descriptor tun_;
};

}  // namespace hawser::bench
