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
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "udp_support.hpp"

namespace {

using namespace hawser::bench;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kEchoCore = 1;
constexpr std::uint32_t kSenderCore = 0;
constexpr auto kStep = std::chrono::milliseconds(1);
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
  if (began) echoed.cpu = thread_cpu_time() - *began;
  return echoed;
}

// The control message that names the address to send from (ip(7), IP_PKTINFO).
struct Source {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(in_pktinfo))> bytes{};

  void attach(msghdr& header, in_addr_t address) {
    header.msg_control = bytes.data();
    header.msg_controllen = bytes.size();
    cmsghdr* const message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = IPPROTO_IP;
    message->cmsg_type = IP_PKTINFO;
    message->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_spec_dst.s_addr = address;
    std::memcpy(CMSG_DATA(message), &info, sizeof info);
  }
};

// The clients: who sends, and takes what comes back.
class Clients {
 public:
  Clients(const Options& options, in_port_t port)
      : options_(options), batch_(std::make_unique<Batch>(options.bytes)) {
    to_.sin_family = AF_INET;
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to_.sin_port = port;
  }

  // One step: what is due by `elapsed`, and what has come back.
  void step(Clock::duration elapsed) {
    const double seconds = std::chrono::duration<double>(elapsed).count();
    const auto due = static_cast<std::uint64_t>(seconds * options_.rate);
    while (sent < due && send(std::min<std::uint64_t>(due - sent, kBatch))) {
    }
    read();
  }

  std::uint64_t sent = 0;
  std::uint64_t returned = 0;

 private:
  bool send(std::uint64_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      msghdr& header = batch_->headers[i].msg_hdr;
      header.msg_name = &to_;
      header.msg_namelen = sizeof to_;
      sources_[i].attach(header, loopback_address(next_));
      next_ = (next_ + 1) % options_.sources;
    }
    const int taken =
        sendmmsg(socket_.descriptor, batch_->headers.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (taken > 0) sent += static_cast<std::uint64_t>(taken);
    return taken > 0;
  }

  void read() {
    for (int got = static_cast<int>(kBatch); got == static_cast<int>(kBatch);) {
      got = recvmmsg(socket_.descriptor, incoming_->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got > 0) returned += static_cast<std::uint64_t>(got);
    }
  }

  Options options_;
  Socket socket_{INADDR_ANY};
  sockaddr_in to_{};
  std::unique_ptr<Batch> batch_;
  std::unique_ptr<Batch> incoming_ = std::make_unique<Batch>(kMaxDatagram);
  std::array<Source, kBatch> sources_{};
  std::uint32_t next_ = 0;
};

int run(const Options& options) {
  const Socket server(INADDR_LOOPBACK);
  if (server.port == 0) return 1;
  std::atomic<bool> counting{false};
  std::atomic<bool> stop{false};
  Echoed echoed;
  std::thread thread([&] { echoed = echo(server, counting, stop); });
  stay_on(kSenderCore);
  Clients clients(options, server.port);
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = begin + kWarmUp + std::chrono::milliseconds(options.milliseconds);
  for (Clock::time_point next = begin; next < end; next += kStep) {
    std::this_thread::sleep_until(next);
    const Clock::time_point now = Clock::now();
    counting = now >= begin + kWarmUp;
    clients.step(now - begin);
  }
  stop = true;
  thread.join();
  const std::chrono::duration<double, std::micro> cpu = echoed.cpu;
  std::printf(R"({"cpuMicros":%.4f,"sent":%)" PRIu64 R"(,"echoed":%)" PRIu64 R"(,"returned":%)" PRIu64 "}\n",
              cpu.count() / static_cast<double>(echoed.datagrams), clients.sent, echoed.datagrams,
              clients.returned);
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
