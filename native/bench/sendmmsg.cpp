// How many datagrams a second one thread can send to many destinations with sendmmsg(2) and nothing else: the
// limit that a broadcast is compared with.
//
//   bench_sendmmsg DESTINATIONS BYTES MILLISECONDS [WINDOW]
//
// Destinations are addresses 127.x.y.z of their own, spread over four sockets that a second thread reads, as
// the clients of the row `broadcast` are. Each of the two threads stays on a core of its own where there are
// two. At most WINDOW datagrams are on their way, so that all of them arrive; without it the sender does not
// wait. Prints one JSON object: datagrams sent and read a second, CPU time of each thread for each, and how
// many of them were read.
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
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "udp_support.hpp"

namespace {

using namespace hawser::bench;

constexpr std::size_t kReceivers = 4;
constexpr std::uint32_t kSenderCore = 1;
constexpr std::uint32_t kReceiverCore = 0;
constexpr auto kSettle = std::chrono::milliseconds(50);  // until what is on its way has arrived

struct Options {
  std::uint32_t destinations = 0;
  std::uint32_t bytes = 0;
  std::uint32_t milliseconds = 0;
  std::uint32_t window = 0;
};

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 4 && arguments.size() != 5) return std::nullopt;
  const auto destinations = number(arguments[1], 1'000'000);
  const auto bytes = number(arguments[2], kMaxDatagram);
  const auto milliseconds = number(arguments[3], 3'600'000);
  const auto window = arguments.size() == 5 ? number(arguments[4], 1'000'000) : 0;
  if (!destinations || !bytes || !milliseconds || !window) return std::nullopt;
  return Options{*destinations, *bytes, *milliseconds, *window};
}

// Reads what comes until it is told to stop. Returns the CPU time that it took.
std::chrono::nanoseconds receive(std::span<const Socket> sockets, InFlight& in_flight,
                                 const std::atomic<bool>& stop) {
  stay_on(kReceiverCore);
  const auto batch = std::make_unique<Batch>(kMaxDatagram);
  std::array<pollfd, kReceivers> waiting{};
  for (std::size_t i = 0; i < kReceivers; ++i) waiting[i] = {sockets[i].descriptor, POLLIN, 0};
  while (!stop.load(std::memory_order_relaxed)) {
    if (poll(waiting.data(), waiting.size(), 10) <= 0) continue;
    for (const pollfd& each : waiting) {
      if ((each.revents & POLLIN) == 0) continue;
      const int got = recvmmsg(each.fd, batch->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got > 0) in_flight.arrived(static_cast<std::uint64_t>(got));
    }
  }
  return thread_cpu_time();
}

std::vector<sockaddr_in> destinations_of(std::uint32_t count, std::span<const Socket> sockets) {
  std::vector<sockaddr_in> result(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    result[i].sin_family = AF_INET;
    result[i].sin_addr.s_addr = loopback_address(i);
    result[i].sin_port = sockets[i % kReceivers].port;
  }
  return result;
}

struct Sent {
  std::uint64_t datagrams = 0;
  std::uint64_t refused = 0;
};

// One datagram to every destination.
void send_round(int descriptor, std::span<sockaddr_in> destinations, Batch& batch, InFlight& in_flight,
                Sent& sent) {
  while (!destinations.empty()) {
    in_flight.wait_for_room(sent.datagrams);
    const std::size_t wanted = std::min(destinations.size(), kBatch);
    for (std::size_t i = 0; i < wanted; ++i) {
      batch.headers[i].msg_hdr.msg_name = &destinations[i];
      batch.headers[i].msg_hdr.msg_namelen = sizeof destinations[i];
    }
    const int taken = sendmmsg(descriptor, batch.headers.data(), static_cast<unsigned>(wanted), 0);
    // The first one of the batch was refused.
    if (taken <= 0) ++sent.refused;
    if (taken > 0) sent.datagrams += static_cast<std::uint64_t>(taken);
    destinations = destinations.subspan(taken > 0 ? static_cast<std::size_t>(taken) : 1);
  }
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const std::array<Socket, kReceivers> receivers{Socket(INADDR_ANY), Socket(INADDR_ANY), Socket(INADDR_ANY),
                                                 Socket(INADDR_ANY)};
  const Socket sender(INADDR_LOOPBACK);
  if (sender.port == 0) return 1;
  for (const Socket& each : receivers) {
    if (each.port == 0) return 1;
  }
  std::atomic<bool> stop{false};
  InFlight in_flight(options.window);
  std::chrono::nanoseconds reader_cpu{};
  std::thread reader([&] { reader_cpu = receive(receivers, in_flight, stop); });
  stay_on(kSenderCore);

  auto destinations = destinations_of(options.destinations, receivers);
  const auto batch = std::make_unique<Batch>(options.bytes);
  // The first round makes the kernel's routes.
  Sent all;
  send_round(sender.descriptor, destinations, *batch, in_flight, all);
  const Sent first = all;
  const std::uint64_t received_first = in_flight.received();
  const Clock::time_point begin = Clock::now();
  const auto cpu_begin = thread_cpu_time();
  const Clock::time_point end = begin + std::chrono::milliseconds(options.milliseconds);
  while (Clock::now() < end) send_round(sender.descriptor, destinations, *batch, in_flight, all);
  const std::chrono::duration<double> elapsed = Clock::now() - begin;
  const std::chrono::duration<double, std::micro> cpu = thread_cpu_time() - cpu_begin;
  const auto delivered = static_cast<double>(in_flight.received() - received_first);
  std::this_thread::sleep_for(kSettle);
  stop = true;
  reader.join();

  const auto datagrams = static_cast<double>(all.datagrams - first.datagrams);
  const std::chrono::duration<double, std::micro> receiver_cpu = reader_cpu;
  const std::uint64_t received = in_flight.received();
  std::printf(R"({"datagramsPerSecond":%.0f,"deliveredPerSecond":%.0f,)", datagrams / elapsed.count(),
              delivered / elapsed.count());
  std::printf(R"("cpuMicros":%.4f,"receiverMicros":%.4f,)", cpu.count() / datagrams,
              receiver_cpu.count() / static_cast<double>(received));
  std::printf(R"("sent":%)" PRIu64 R"(,"refused":%)" PRIu64 R"(,"received":%)" PRIu64 "}\n", all.datagrams,
              all.refused, received);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_sendmmsg DESTINATIONS BYTES MILLISECONDS [WINDOW]\n", stderr);
    return 2;
  }
  const int code = run(*options);
  if (code != 0) std::perror("bench_sendmmsg");
  return code;
}

#else

int main() {
  std::fputs("bench_sendmmsg: this system has no sendmmsg(2)\n", stderr);
  return 1;
}

#endif
