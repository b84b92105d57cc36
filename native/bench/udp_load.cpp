// Sends one datagram again and again to a gateway that echoes, from many addresses, and counts what comes
// back: the clients of gateways that are not hawser's.
//
//   bench_udp_load PORT SOURCES RATE MILLISECONDS HEX
//
// RATE datagrams a second with the bytes HEX go to that port of 127.0.0.1, in steps of a millisecond and from
// each of as many addresses 127.x.y.z in turn. It stays on the first core where there are two. Prints one
// JSON object: how many were sent and came back.
#include <cstdio>

#ifdef __linux__

#include <arpa/inet.h>

#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "udp_clients.hpp"
#include "udp_support.hpp"

namespace {

using namespace hawser::bench;

constexpr std::uint32_t kCore = 0;

struct Options {
  std::uint32_t port = 0;
  UdpClients::Options clients{};
  std::uint32_t milliseconds = 0;
  std::vector<std::byte> datagram;
};

// At most kMaxDatagram bytes; empty when it is none.
std::vector<std::byte> bytes_of(std::string_view hex) {
  std::vector<std::byte> bytes;
  if (hex.size() % 2 != 0 || hex.size() > 2 * kMaxDatagram) return bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    std::uint8_t value = 0;
    const char* const end = hex.data() + at + 2;
    const auto [stopped, error] = std::from_chars(hex.data() + at, end, value, 16);
    if (error != std::errc{} || stopped != end) return {};
    bytes.push_back(std::byte{value});
  }
  return bytes;
}

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 6) return std::nullopt;
  const auto port = number(arguments[1], 65'535);
  const auto sources = number(arguments[2], 1'000'000);
  const auto rate = number(arguments[3], 10'000'000);
  const auto milliseconds = number(arguments[4], 3'600'000);
  std::vector<std::byte> datagram = bytes_of(arguments[5]);
  if (!port || !sources || !rate || !milliseconds || datagram.empty()) return std::nullopt;
  return Options{*port, {0, *sources, *rate}, *milliseconds, std::move(datagram)};
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_udp_load PORT SOURCES RATE MILLISECONDS HEX\n", stderr);
    return 2;
  }
  stay_on(kCore);
  UdpClients clients(htons(static_cast<in_port_t>(options->port)), options->clients);
  clients.run(std::chrono::milliseconds(options->milliseconds), [&] { return std::span(options->datagram); });
  clients.settle();
  std::printf(R"({"sent":%)" PRIu64 R"(,"returned":%)" PRIu64 "}\n", clients.sent(), clients.returned());
  return 0;
}

#else

int main() {
  std::fputs("bench_udp_load: this system has no sendmmsg(2)\n", stderr);
  return 1;
}

#endif
