// How many datagrams a second one thread can send to one address, and another one receive there, with
// sendmmsg(2) and recvmmsg(2) and nothing else: the limit that a stream of messages to one peer is compared
// with.
//
//   bench_udp_stream BYTES SEGMENTS WARM_UP_MILLISECONDS MILLISECONDS
//
// With more than one of SEGMENTS, so many datagrams are one message to the kernel, which cuts it
// (UDP_SEGMENT) and gives the receiver several at once (UDP_GRO). As many are on their way as the receiver's
// buffer holds. Each of the two threads stays on a core of its own where there are two. Prints one JSON
// object: datagrams received a second, CPU time of each thread for each, and how many were sent and received
// in all; null where the kernel neither cuts nor gathers.
#include <cstdio>

#ifdef __linux__

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
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

constexpr std::uint32_t kSenderCore = 0;
constexpr std::uint32_t kReceiverCore = 1;
constexpr std::uint32_t kWindow = 1024;      // datagrams on their way, as in the drivers
constexpr std::size_t kMaxMessage = 65'507;  // what UDP over IPv4 carries
constexpr auto kSettle = std::chrono::milliseconds(50);

struct Options {
  std::uint32_t bytes = 0;
  std::uint32_t segments = 0;
  std::uint32_t warm_up_milliseconds = 0;
  std::uint32_t milliseconds = 0;
};

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 5) return std::nullopt;
  const auto bytes = number(arguments[1], kMaxDatagram);
  const auto segments = number(arguments[2], 64);
  const auto warm_up = number(arguments[3], 3'600'000);
  const auto milliseconds = number(arguments[4], 3'600'000);
  if (!bytes || !segments || !warm_up || !milliseconds) return std::nullopt;
  if (std::size_t{*bytes} * *segments > kMaxMessage) return std::nullopt;
  return Options{*bytes, *segments, *warm_up, *milliseconds};
}

// Message headers for messages of any length.
struct Messages {
  std::vector<std::byte> memory;
  std::array<mmsghdr, kBatch> headers{};
  std::array<iovec, kBatch> segments{};

  explicit Messages(std::size_t bytes) : memory(kBatch * bytes) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      segments[i] = {memory.data() + i * bytes, bytes};
      headers[i].msg_hdr.msg_iov = &segments[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

// Reads what comes until it is told to stop. Returns the CPU time that it took.
std::chrono::nanoseconds receive(const Socket& socket, const Options& options, InFlight& in_flight,
                                 const std::atomic<bool>& stop) {
  stay_on(kReceiverCore);
  Messages incoming(options.segments > 1 ? kMaxMessage : kMaxDatagram);
  pollfd waiting{socket.descriptor, POLLIN, 0};
  while (!stop.load(std::memory_order_relaxed)) {
    if (poll(&waiting, 1, 10) <= 0) continue;
    const int got = recvmmsg(socket.descriptor, incoming.headers.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < got; ++i)
      in_flight.arrived(incoming.headers[static_cast<std::size_t>(i)].msg_len / options.bytes);
  }
  return thread_cpu_time();
}

// Whether the kernel takes both options; where it does not, there is nothing to measure.
bool offload(const Socket& sender, const Socket& receiver, const Options& options) {
  const int bytes = static_cast<int>(options.bytes);
  const int on = 1;
  return setsockopt(sender.descriptor, SOL_UDP, UDP_SEGMENT, &bytes, sizeof bytes) == 0 &&
         setsockopt(receiver.descriptor, SOL_UDP, UDP_GRO, &on, sizeof on) == 0;
}

bool connect_to(const Socket& sender, in_port_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = port;
  return connect(sender.descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

// Sends until `end`. Returns how many datagrams there were.
std::uint64_t send_until(std::chrono::steady_clock::time_point end, const Socket& socket, Messages& outgoing,
                         const Options& options, InFlight& in_flight, std::uint64_t sent) {
  // So many messages at a time that the window always has room for two batches.
  const std::size_t count =
      std::max<std::size_t>(1, std::min<std::size_t>(kBatch, kWindow / options.segments / 2));
  while (std::chrono::steady_clock::now() < end) {
    in_flight.wait_for_room(sent);
    const int taken = sendmmsg(socket.descriptor, outgoing.headers.data(), static_cast<unsigned>(count), 0);
    if (taken > 0) sent += static_cast<std::uint64_t>(taken) * options.segments;
  }
  return sent;
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const Socket receiver(INADDR_LOOPBACK);
  const Socket sender(INADDR_LOOPBACK);
  if (receiver.port == 0 || sender.port == 0 || !connect_to(sender, receiver.port)) return 1;
  if (options.segments > 1 && !offload(sender, receiver, options)) {
    std::puts("null");
    return 0;
  }
  InFlight in_flight(kWindow);
  std::atomic<bool> stop{false};
  std::chrono::nanoseconds reader_cpu{};
  std::thread reader([&] { reader_cpu = receive(receiver, options, in_flight, stop); });
  stay_on(kSenderCore);

  Messages outgoing(std::size_t{options.bytes} * options.segments);
  const auto warm_up_end = Clock::now() + std::chrono::milliseconds(options.warm_up_milliseconds);
  const std::uint64_t first = send_until(warm_up_end, sender, outgoing, options, in_flight, 0);
  const Clock::time_point begin = Clock::now();
  const auto cpu_begin = thread_cpu_time();
  const std::uint64_t received_first = in_flight.received();
  const auto end = begin + std::chrono::milliseconds(options.milliseconds);
  const std::uint64_t sent = send_until(end, sender, outgoing, options, in_flight, first);
  const std::chrono::duration<double> elapsed = Clock::now() - begin;
  const std::chrono::duration<double, std::micro> sender_cpu = thread_cpu_time() - cpu_begin;
  const auto received = static_cast<double>(in_flight.received() - received_first);
  std::this_thread::sleep_for(kSettle);
  stop = true;
  reader.join();

  const std::chrono::duration<double, std::micro> receiver_cpu = reader_cpu;
  std::printf(R"({"datagramsPerSecond":%.0f,"senderMicros":%.4f,"receiverMicros":%.4f,)",
              received / elapsed.count(), sender_cpu.count() / static_cast<double>(sent - first),
              receiver_cpu.count() / static_cast<double>(in_flight.received()));
  std::printf(R"("sent":%)" PRIu64 R"(,"received":%)" PRIu64 "}\n", sent, in_flight.received());
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_udp_stream BYTES SEGMENTS WARM_UP_MILLISECONDS MILLISECONDS\n", stderr);
    return 2;
  }
  const int code = run(*options);
  if (code != 0) std::perror("bench_udp_stream");
  return code;
}

#else

int main() {
  std::fputs("bench_udp_stream: this system has no sendmmsg(2)\n", stderr);
  return 1;
}

#endif
