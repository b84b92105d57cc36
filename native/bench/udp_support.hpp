// What the native loops that use the kernel's UDP calls and nothing else have in common. Linux only.
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string_view>
#include <thread>
#include <type_traits>

namespace hawser::bench {

inline constexpr std::size_t kBatch = 64;  // datagrams for one system call, as in hawser's socket
inline constexpr std::uint32_t kHostsPerBlock = 254;
inline constexpr int kBufferBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxDatagram = 2048;

// A number from 1 to `most`.
template <typename Number = std::uint32_t>
std::optional<Number> number(std::string_view text, std::type_identity_t<Number> most) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > most)
    return std::nullopt;
  return value;
}

inline void stay_on(std::uint32_t core) {
  if (std::thread::hardware_concurrency() <= core) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  // Without effect where this process may not use that core: then the kernel chooses.
  static_cast<void>(pthread_setaffinity_np(pthread_self(), sizeof set, &set));
}

inline std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// 127.1.0.1, 127.1.0.2 and so on, without .0 and .255, in network byte order.
inline in_addr_t loopback_address(std::uint32_t index) {
  const std::uint32_t block = index / kHostsPerBlock;
  return htonl(0x7f01'0000 + (block << 8) + 1 + index % kHostsPerBlock);
}

// A UDP socket on a free port; the port is 0 when there is none to be had.
struct Socket {
  int descriptor = -1;
  in_port_t port = 0;  // network byte order

  explicit Socket(std::uint32_t address) : descriptor(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(address);
    socklen_t length = sizeof name;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
    auto* generic = reinterpret_cast<sockaddr*>(&name);
    if (bind(descriptor, generic, length) == 0 && getsockname(descriptor, generic, &length) == 0) {
      port = name.sin_port;
    }
  }
  ~Socket() { close(descriptor); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
};

// How many datagrams are on their way from one thread to another: as many as the receiver's buffer holds, so
// that what is sent is delivered.
class InFlight {
 public:
  // 0 is no limit.
  explicit InFlight(std::uint64_t window) : window_(window) {}

  // By the receiver.
  void arrived(std::uint64_t datagrams) { received_.fetch_add(datagrams, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t received() const { return received_.load(std::memory_order_relaxed); }

  // By the sender, who has sent so many: waits until it may go on. What has not arrived while nothing arrived
  // for a while is lost and no longer on its way.
  void wait_for_room(std::uint64_t sent) {
    if (window_ == 0) return;
    auto last_progress = std::chrono::steady_clock::now();
    for (std::uint64_t before = received(); sent - lost_ >= received() + window_;) {
      std::this_thread::sleep_for(kNap);
      const auto now = std::chrono::steady_clock::now();
      if (received() != before) last_progress = now;
      before = received();
      if (now - last_progress > kPatience) lost_ = sent - before;
    }
  }

 private:
  static constexpr auto kNap = std::chrono::microseconds(20);
  static constexpr auto kPatience = std::chrono::milliseconds(200);

  std::uint64_t window_;
  std::uint64_t lost_ = 0;
  std::atomic<std::uint64_t> received_{0};
};

// Message headers with room for what they point to.
struct Batch {
  std::array<mmsghdr, kBatch> headers{};
  std::array<iovec, kBatch> segments{};
  std::array<std::array<std::byte, kMaxDatagram>, kBatch> payloads{};

  explicit Batch(std::size_t bytes) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      segments[i] = {payloads[i].data(), bytes};
      headers[i].msg_hdr.msg_iov = &segments[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

}  // namespace hawser::bench
