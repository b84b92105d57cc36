// What it costs a thread to send datagrams back with recvmmsg(2) and sendmmsg(2) and nothing else: the limit
// that a gateway which echoes is compared with.
//
//   bench_udp_echo SOURCES BYTES RATE MILLISECONDS
//
// A second thread sends RATE datagrams a second in steps of a millisecond, from as many addresses 127.x.y.z
// of their own, over one socket, as a process with that many clients does, and reads what comes back. Each of
// the two threads stays on a core of its own where there are two. Prints one JSON object: CPU time of the
// echoing thread for each datagram, both ways, and how many were sent, echoed and returned.
#include <cstdio>

#ifdef __linux__

#include <arpa/inet.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "udp_clients.hpp"
#include "udp_support.hpp"

namespace {

using namespace hawser::bench;

constexpr std::uint32_t kEchoCore = 1;
constexpr std::uint32_t kSenderCore = 0;
constexpr auto kWarmUp = std::chrono::milliseconds(300);

struct Options {
  std::uint32_t sources = 0;
  std::uint32_t bytes = 0;
  std::uint32_t rate = 0;
  std::uint32_t milliseconds = 0;
};

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 5) return std::nullopt;
  const auto sources = number(arguments[1], 1'000'000);
  const auto bytes = number(arguments[2], kMaxDatagram);
  const auto rate = number(arguments[3], 10'000'000);
  const auto milliseconds = number(arguments[4], 3'600'000);
  if (!sources || !bytes || !rate || !milliseconds) return std::nullopt;
  return Options{*sources, *bytes, *rate, *milliseconds};
}

struct Echoed {
  std::uint64_t datagrams = 0;
  std::chrono::nanoseconds cpu{};
};

// Sends back what comes until it is told to stop; counts from when it is told to.
Echoed echo(const Socket& socket, const std::atomic<bool>& counting, const std::atomic<bool>& stop) {
  stay_on(kEchoCore);
  const auto batch = std::make_unique<Batch>(kMaxDatagram);
  std::array<sockaddr_in, kBatch> names{};
  Echoed echoed;
  std::optional<std::chrono::nanoseconds> began;
  while (!stop.load(std::memory_order_relaxed)) {
    if (!began && counting.load(std::memory_order_relaxed)) {
      began = thread_cpu_time();
      echoed.datagrams = 0;
    }
    pollfd waiting{socket.descriptor, POLLIN, 0};
    if (poll(&waiting, 1, 10) <= 0) continue;
    for (int got = static_cast<int>(kBatch); got == static_cast<int>(kBatch);) {
      for (std::size_t i = 0; i < kBatch; ++i) {
        batch->segments[i].iov_len = kMaxDatagram;
        batch->headers[i].msg_hdr.msg_name = &names[i];
        batch->headers[i].msg_hdr.msg_namelen = sizeof names[i];
      }
      got = recvmmsg(socket.descriptor, batch->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got <= 0) break;
      const auto count = static_cast<std::size_t>(got);
      for (std::size_t i = 0; i < count; ++i) batch->segments[i].iov_len = batch->headers[i].msg_len;
      const int sent = sendmmsg(socket.descriptor, batch->headers.data(), static_cast<unsigned>(got), 0);
      echoed.datagrams += static_cast<std::uint64_t>(std::max(sent, 0));
    }
  }
  // One that never read its socket empty has not seen when to begin.
  if (!began) return {};
  echoed.cpu = thread_cpu_time() - *began;
  return echoed;
}

int run(const Options& options) {
  const Socket server(INADDR_LOOPBACK);
  if (server.port == 0) return 1;
  std::atomic<bool> counting{false};
  std::atomic<bool> stop{false};
  Echoed echoed;
  std::thread thread([&] { echoed = echo(server, counting, stop); });
  stay_on(kSenderCore);
  const std::vector<std::byte> datagram(options.bytes);
  UdpClients clients(server.port, {.first_source = 0, .sources = options.sources, .rate = options.rate});
  const auto next = [&] { return std::span(datagram); };
  clients.run(kWarmUp, next);
  counting = true;
  clients.run(std::chrono::milliseconds(options.milliseconds), next);
  clients.settle();
  stop = true;
  thread.join();
  if (echoed.datagrams == 0) {
    errno = ETIMEDOUT;
    return 1;
  }
  const std::chrono::duration<double, std::micro> cpu = echoed.cpu;
  std::printf(R"({"cpuMicros":%.4f,"sent":%)" PRIu64 R"(,"echoed":%)" PRIu64 R"(,"returned":%)" PRIu64 "}\n",
              cpu.count() / static_cast<double>(echoed.datagrams), clients.sent(), echoed.datagrams,
              clients.returned());
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_udp_echo SOURCES BYTES RATE MILLISECONDS\n", stderr);
    return 2;
  }
  const int code = run(*options);
  if (code != 0) std::perror("bench_udp_echo");
  return code;
}

#else

int main() {
  std::fputs("bench_udp_echo: this system has no recvmmsg(2)\n", stderr);
  return 1;
}

#endif
