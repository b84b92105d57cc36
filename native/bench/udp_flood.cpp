// Floods a gateway with datagrams that no honest client sends, from many addresses.
//
//   bench_udp_flood PORT PROTOCOL_ID KEY_ID RATE MILLISECONDS [KIND]
//
// RATE datagrams a second go to that port of 127.0.0.1, each from the next of 10,000 addresses 127.x.y.z.
// KIND is one of
//
//   garbage    random bytes of a random length
//   sessions   session packets of connections that do not exist
//   requests   REQUESTs whose token is for this gateway's protocol and key, with a junk private part
//   responses  RESPONSEs with such a token and a junk cookie
//   all        each of these in turn (the default)
//
// Random parts come from a fixed seed. The program stays on the first core where there are two. It prints one
// JSON object: the numbers of datagrams sent and answered.
#include <cstdio>

#ifdef __linux__

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string_view>

#include "base/time.hpp"
#include "udp_clients.hpp"
#include "udp_support.hpp"
#include "wire/connect_token.hpp"
#include "wire/handshake_packets.hpp"

namespace {

using namespace hawser;
using namespace hawser::bench;

constexpr std::uint32_t kCore = 0;
constexpr std::uint32_t kSources = 10'000;
// Addresses that the clients of the rows do not have.
constexpr std::uint32_t kFirstSource = 1'000'000;
constexpr std::size_t kSessionSize = 93;  // of a message of 64 bytes
constexpr std::size_t kLeastGarbage = 16;
constexpr std::size_t kLongestDatagram = 1200;
// Different datagrams, made before the flood begins.
constexpr std::size_t kDatagrams = 1024;
constexpr std::array<std::string_view, 5> kKinds{"garbage", "sessions", "requests", "responses", "all"};
constexpr std::uint64_t kSeed = 0x6861'7773'6572'3031;

struct Options {
  std::uint32_t port = 0;
  std::uint64_t protocol_id = 0;
  std::uint32_t key_id = 0;
  std::uint32_t rate = 0;
  std::uint32_t milliseconds = 0;
  std::size_t kind = kKinds.size() - 1;  // index into kKinds
};

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 6 && arguments.size() != 7) return std::nullopt;
  const auto port = number(arguments[1], 65'535);
  const auto protocol_id = number<std::uint64_t>(arguments[2], UINT64_MAX);
  const auto key_id = number(arguments[3], UINT32_MAX);
  const auto rate = number(arguments[4], 10'000'000);
  const auto milliseconds = number(arguments[5], 3'600'000);
  const auto* const kind = std::ranges::find(kKinds, arguments.size() == 7 ? arguments[6] : kKinds.back());
  if (!port || !protocol_id || !key_id || !rate || !milliseconds || kind == kKinds.end()) return std::nullopt;
  const auto kind_index = static_cast<std::size_t>(kind - kKinds.begin());
  return Options{*port, *protocol_id, *key_id, *rate, *milliseconds, kind_index};
}

class Attack {
 public:
  explicit Attack(const Options& options) {
    clear_.protocol_id = options.protocol_id;
    clear_.key_id = options.key_id;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    clear_.create = WallTime(std::chrono::duration_cast<WallTime::duration>(now)) - std::chrono::minutes(1);
    clear_.expire = clear_.create + std::chrono::minutes(10);
    const std::size_t single_kinds = kKinds.size() - 1;
    for (std::size_t i = 0; i < datagrams_.size(); ++i)
      make(datagrams_[i], options.kind < single_kinds ? options.kind : i % single_kinds);
  }

  std::span<const std::byte> next() {
    const Datagram& datagram = datagrams_[next_++ % datagrams_.size()];
    return std::span(datagram.bytes).first(datagram.size);
  }

 private:
  struct Datagram {
    std::array<std::byte, kLongestDatagram> bytes{};
    std::size_t size = 0;
  };

  void fill(std::span<std::byte> bytes) {
    for (std::byte& each : bytes) each = static_cast<std::byte>(random_());
  }

  void make(Datagram& datagram, std::size_t kind) {
    switch (kind) {
      case 0:
        return make_garbage(datagram);
      case 1:
        return make_session(datagram);
      case 2:
        return make_request(datagram);
      default:
        return make_response(datagram);
    }
  }

  void make_garbage(Datagram& datagram) {
    datagram.size = kLeastGarbage + random_() % (kLongestDatagram - kLeastGarbage);
    fill(std::span(datagram.bytes).first(datagram.size));
  }

  void make_session(Datagram& datagram) {
    datagram.size = kSessionSize;
    fill(std::span(datagram.bytes).first(datagram.size));
    datagram.bytes[0] = std::byte{kSessionByte};
  }

  void make_request(Datagram& datagram) {
    datagram.size = kRequestSize;
    make_token_carrier(datagram, kRequestByte);
  }

  void make_response(Datagram& datagram) {
    datagram.size = kResponseSize;
    fill(std::span(datagram.bytes).first(datagram.size));
    make_token_carrier(datagram, kResponseByte);
  }

  // What both begin with. All that can be checked without a key is right.
  void make_token_carrier(Datagram& datagram, std::uint8_t first_byte) {
    datagram.bytes[0] = std::byte{first_byte};
    fill(std::span(datagram.bytes).subspan<1, kRepeatedRequestSize>());
    encode_token_clear(std::span(datagram.bytes).subspan<1, kTokenClearSize>(), clear_);
  }

  std::mt19937_64 random_{kSeed};
  TokenClear clear_;
  std::array<Datagram, kDatagrams> datagrams_{};
  std::size_t next_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_udp_flood PORT PROTOCOL_ID KEY_ID RATE MILLISECONDS [KIND]\n", stderr);
    return 2;
  }
  stay_on(kCore);
  const auto attack = std::make_unique<Attack>(*options);
  UdpClients clients(htons(static_cast<in_port_t>(options->port)),
                     {.first_source = kFirstSource, .sources = kSources, .rate = options->rate});
  clients.run(std::chrono::milliseconds(options->milliseconds), [&] { return attack->next(); });
  clients.settle();
  std::printf(R"({"sent":%)" PRIu64 R"(,"answered":%)" PRIu64 "}\n", clients.sent(), clients.returned());
  return 0;
}

#else

int main() {
  std::fputs("bench_udp_flood: this system has no sendmmsg(2)\n", stderr);
  return 1;
}

#endif
