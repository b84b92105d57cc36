// A bad network between two TUN devices, for whole programs: each device is in a network namespace of its
// own, and what one of them sends arrives at the other as native/io/link_model.hpp decides.
//
//   bench_path_link [NAME=VALUE ...]
//
// The near end is 10.77.0.1, the far end 10.77.0.2. Settings have the names of the link settings of
// hawser/testing: lossRate, duplicateRate, reorderRate, delayMs, jitterMs, jitterReorders, leastHoldBackMs,
// mostHoldBackMs, bytesPerSecond, queueBytes, mtuBytes. They hold for each direction. Sizes count whole
// IP packets, headers included. Also: seed, and tcpCongestion, the congestion control of TCP in both
// namespaces.
//
// Prints a line of JSON that says how programs get to the two ends (nsenter --net=NAMESPACE). Then reads
// commands, a line each, and answers each with a line of JSON:
//
//   figures              what has happened so far, by direction
//   down, up             begins and ends an outage
//   move                 from now on the far end sees the near one as 10.77.0.3; its old address is gone
//   set NAME=VALUE ...   other settings for the packets that come from now on
//
// Ends with its standard input. Exit code 3: this process lacks a right, or the kernel lacks a part.
#include <cstdio>

#ifdef __linux__

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <ctime>
#include <memory>
#include <queue>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.hpp"
#include "io/link_model.hpp"
#include "path_device.hpp"
#include "path_ipv4.hpp"
#include "path_lines.hpp"
#include "path_settings.hpp"

namespace {

using namespace hawser;
using namespace hawser::bench;

constexpr int kExitUsage = 2;
constexpr int kExitUnavailable = 3;

constexpr Ipv4Address kNearAddress = 0x0a4d'0001;
constexpr Ipv4Address kFarAddress = 0x0a4d'0002;
constexpr Ipv4Address kMovedAddress = 0x0a4d'0003;

constexpr std::size_t kBufferBytes = 2048;
constexpr std::size_t kBuffersPerBlock = 512;
constexpr std::size_t kMaxBuffers = 512 * 1024 * 1024 / kBufferBytes;
// The kernel's limit for the name of a congestion control of TCP.
constexpr std::size_t kMaxCongestionName = 15;
// Packets that are read from one device before the other one has its turn.
constexpr int kBurst = 64;
// The link has a higher priority than the programs at its ends: a packet that it reads late arrives late.
constexpr int kNice = -15;

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant(std::chrono::duration_cast<Duration>(since));
}

// Memory of the packets on their way, which is taken from the system as it is needed and never given back.
class PacketStore {
 public:
  // Returns nullopt when all of it is in use.
  std::optional<std::uint32_t> take() {
    if (free_.empty() && !grow()) return std::nullopt;
    const std::uint32_t buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void give_back(std::uint32_t buffer) { free_.push_back(buffer); }

  [[nodiscard]] std::span<std::byte> bytes(std::uint32_t buffer) {
    std::byte* block = blocks_[buffer / kBuffersPerBlock].get();
    return {block + buffer % kBuffersPerBlock * kBufferBytes, kBufferBytes};
  }

 private:
  bool grow() {
    const std::size_t first = blocks_.size() * kBuffersPerBlock;
    if (first >= kMaxBuffers) return false;
    blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(kBuffersPerBlock * kBufferBytes));
    for (std::size_t i = kBuffersPerBlock; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(first + i));
    return true;
  }

  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::vector<std::uint32_t> free_;
};

struct Figures {
  std::uint64_t packets = 0;  // that came to the link
  std::uint64_t bytes = 0;
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  std::uint64_t too_long = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t cut_off = 0;  // in an outage, or to an address that has moved
  std::uint64_t duplicated = 0;
  std::uint64_t held_back = 0;
  std::uint64_t overrun = 0;  // lost because the link had no memory or the device refused it; must stay 0
  Duration most_late{};       // how much later than planned one was delivered
};

struct Direction {
  Direction(const PathDevice& from_end, const PathDevice& to_end, std::uint64_t seed)
      : from(from_end), to(to_end), random(seed), model(random) {}

  const PathDevice& from;
  const PathDevice& to;
  SeededRandom random;
  LinkModel model;
  LinkQueue queue;
  Instant last_arrival{};
  Figures figures;
};

// A packet on its way.
struct Flight {
  Instant arrival;
  std::uint64_t number;  // packets of one instant arrive in its order
  Direction* direction;
  std::uint32_t buffer;
  std::uint32_t bytes;

  // Orders a heap so that its top is the first to arrive.
  friend bool operator<(const Flight& one, const Flight& other) {
    return one.arrival != other.arrival ? one.arrival > other.arrival : one.number > other.number;
  }
};

struct Options {
  LinkSettings settings;
  std::uint64_t seed = 1;
  std::string congestion;
};

class Link {
 public:
  Link(const Options& options, const CurrentNamespace& home, const PathDevice& near, const PathDevice& far)
      : settings_(options.settings),
        home_(home),
        to_far_(near, far, options.seed),
        to_near_(far, near, ~options.seed) {}

  // Until the standard input ends. Returns the exit code.
  int run() {
    for (;;) {
      deliver();
      std::array<pollfd, 3> waiting{{{to_far_.from.descriptor(), POLLIN, 0},
                                     {to_near_.from.descriptor(), POLLIN, 0},
                                     {STDIN_FILENO, POLLIN, 0}}};
      const timespec patience = until_next();
      if (ppoll(waiting.data(), waiting.size(), on_their_way_.empty() ? nullptr : &patience, nullptr) < 0) {
        if (errno == EINTR) continue;
        std::perror("bench_path_link: ppoll");
        return 1;
      }
      if (waiting[0].revents != 0) read_burst(to_far_);
      if (waiting[1].revents != 0) read_burst(to_near_);
      if (waiting[2].revents != 0 && !read_commands()) return 0;
    }
  }

 private:
  [[nodiscard]] timespec until_next() const {
    if (on_their_way_.empty()) return {};
    const auto left = std::max(Duration::zero(), on_their_way_.top().arrival - now());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const std::chrono::nanoseconds rest = left - seconds;
    return {.tv_sec = seconds.count(), .tv_nsec = static_cast<long>(rest.count())};
  }

  void read_burst(Direction& direction) {
    const Instant instant = now();
    for (int i = 0; i < kBurst; ++i) {
      const ssize_t got = read(direction.from.descriptor(), scratch_.data(), scratch_.size());
      if (got <= 0) return;
      const std::span packet(scratch_.data(), static_cast<std::size_t>(got));
      // Other packets come from the kernel itself, which looks for IPv6 routers.
      if (auto ipv4 = Ipv4Packet::read(packet)) pass(direction, packet, *ipv4, instant);
    }
  }

  void pass(Direction& direction, std::span<const std::byte> packet, Ipv4Packet& ipv4, Instant instant) {
    Figures& figures = direction.figures;
    ++figures.packets;
    figures.bytes += packet.size();
    if (has_moved_ && !readdress(direction, ipv4)) {
      ++figures.cut_off;
      return;
    }
    // The link marks nothing, so that the bits of ECN stay as they are.
    const LinkPassage passage =
        direction.model.pass(settings_, direction.queue, direction.last_arrival, instant, packet.size(), 0);
    if (passage.count > 1) ++figures.duplicated;
    for (const LinkCopy& copy : passage.copies()) {
      count(figures, copy);
      if (copy.fate == LinkFate::kArrives) send_off(direction, packet, copy.arrival);
    }
  }

  // Returns false for a packet to the address that is gone.
  bool readdress(const Direction& direction, Ipv4Packet& ipv4) const {
    if (&direction == &to_far_) {
      if (ipv4.source() == kNearAddress) ipv4.set_source(kMovedAddress);
      return true;
    }
    if (ipv4.destination() != kMovedAddress) return false;
    ipv4.set_destination(kNearAddress);
    return true;
  }

  static void count(Figures& figures, const LinkCopy& copy) {
    if (copy.held_back) ++figures.held_back;
    switch (copy.fate) {
      case LinkFate::kArrives:
        return;
      case LinkFate::kLost:
        ++figures.lost;
        return;
      case LinkFate::kTooLong:
        ++figures.too_long;
        return;
      case LinkFate::kQueueFull:
        ++figures.queue_full;
        return;
      case LinkFate::kCutOff:
        ++figures.cut_off;
        return;
    }
  }

  void send_off(Direction& direction, std::span<const std::byte> packet, Instant arrival) {
    const auto buffer = store_.take();
    if (!buffer) {
      ++direction.figures.overrun;
      return;
    }
    std::copy(packet.begin(), packet.end(), store_.bytes(*buffer).begin());
    on_their_way_.push({.arrival = arrival,
                        .number = next_number_++,
                        .direction = &direction,
                        .buffer = *buffer,
                        .bytes = static_cast<std::uint32_t>(packet.size())});
  }

  void deliver() {
    if (on_their_way_.empty()) return;
    const Instant instant = now();
    while (!on_their_way_.empty() && on_their_way_.top().arrival <= instant) {
      const Flight flight = on_their_way_.top();
      on_their_way_.pop();
      Figures& figures = flight.direction->figures;
      figures.most_late = std::max(figures.most_late, instant - flight.arrival);
      const auto bytes = store_.bytes(flight.buffer).first(flight.bytes);
      const ssize_t written = write(flight.direction->to.descriptor(), bytes.data(), bytes.size());
      ++(written == static_cast<ssize_t>(bytes.size()) ? figures.delivered : figures.overrun);
      store_.give_back(flight.buffer);
    }
  }

  // Returns false at the end of the input.
  bool read_commands() {
    const bool goes_on = input_.read_available([this](const std::string& line) { answer(line); });
    std::fflush(stdout);
    return goes_on;
  }

  void answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "figures") return print_figures();
    if (command == "down" || command == "up") {
      settings_.up = command == "up";
    } else if (command == "move") {
      has_moved_ = true;
    } else if (command == "set") {
      for (std::string word; words >> word;) {
        const auto setting = split_setting(word);
        if (setting && apply_setting(settings_, setting->first, setting->second)) continue;
        std::printf(R"({"error":"no such setting, or its value is not allowed: %s"})"
                    "\n",
                    word.c_str());
        return;
      }
    } else {
      std::puts(R"({"error":"the commands are figures, down, up, move and set"})");
      return;
    }
    std::puts(R"({"done":true})");
  }

  void print_figures() const {
    timespec cpu{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const double cpu_seconds = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9;
    std::printf(R"({"cpuSeconds":%.6f,"toFar":)", cpu_seconds);
    print(to_far_);
    std::printf(R"(,"toNear":)");
    print(to_near_);
    std::puts("}");
  }

  void print(const Direction& direction) const {
    const Figures& figures = direction.figures;
    std::printf(R"({"packets":%)" PRIu64 R"(,"bytes":%)" PRIu64 R"(,"delivered":%)" PRIu64
                R"(,"lost":%)" PRIu64,
                figures.packets, figures.bytes, figures.delivered, figures.lost);
    std::printf(R"(,"tooLong":%)" PRIu64 R"(,"queueFull":%)" PRIu64 R"(,"cutOff":%)" PRIu64, figures.too_long,
                figures.queue_full, figures.cut_off);
    std::printf(R"(,"duplicated":%)" PRIu64 R"(,"heldBack":%)" PRIu64 R"(,"overrun":%)" PRIu64,
                figures.duplicated, figures.held_back, figures.overrun);
    const double late = static_cast<double>(figures.most_late.count()) / 1000;
    std::printf(R"(,"deviceDropped":%)" PRIu64 R"(,"mostLateMs":%.3f})", direction.from.dropped(home_), late);
  }

  LinkSettings settings_;
  const CurrentNamespace& home_;
  Direction to_far_;
  Direction to_near_;
  bool has_moved_ = false;
  PacketStore store_;
  std::priority_queue<Flight> on_their_way_;
  std::uint64_t next_number_ = 0;
  std::array<std::byte, kBufferBytes> scratch_{};
  CommandLines input_;
};

// Returns nullopt and says why if an argument is wrong.
std::optional<Options> read_options(std::span<char*> arguments) {
  Options options;
  // Without arguments, the link delays nothing.
  options.settings.delay = Duration::zero();
  for (const std::string_view argument : arguments.subspan(1)) {
    const auto setting = split_setting(argument);
    bool known = false;
    if (setting && setting->first == "seed") {
      const std::string_view text = setting->second;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), options.seed);
      known = error == std::errc{} && end == text.data() + text.size();
    } else if (setting && setting->first == "tcpCongestion") {
      options.congestion = setting->second;
      known = options.congestion.size() <= kMaxCongestionName;
    } else if (setting) {
      known = apply_setting(options.settings, setting->first, setting->second);
    }
    if (known) continue;
    std::fprintf(stderr, "bench_path_link: no such setting, or its value is not allowed: %s\n",
                 argument.data());
    return std::nullopt;
  }
  return options;
}

// Says in one line what is missing and what to do.
int report(const Failure& failure, const Options& options) {
  const std::string_view step = failure.step;
  if (step == "tcpCongestion") {
    std::fprintf(stderr, "this kernel has no TCP congestion control %s: modprobe tcp_%s\n",
                 options.congestion.c_str(), options.congestion.c_str());
    return kExitUnavailable;
  }
  if (failure.error == EPERM || failure.error == EACCES) {
    std::fprintf(
        stderr,
        "%s is not permitted: run as root, or with the capabilities CAP_SYS_ADMIN and CAP_NET_ADMIN\n",
        failure.step);
    return kExitUnavailable;
  }
  if (step == "open /dev/net/tun") {
    std::fputs("this machine has no /dev/net/tun: modprobe tun, or give the container that device\n", stderr);
    return kExitUnavailable;
  }
  std::fprintf(stderr, "bench_path_link: %s: %s\n", failure.step, std::strerror(failure.error));
  return 1;
}

void print_end(const char* name, const PathDevice& end) {
  const in_addr address{htonl(end.address())};
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, &address, text.data(), text.size());
  std::printf(R"("%s":{"namespace":"/proc/%d/fd/%d","address":"%s"})", name, static_cast<int>(getpid()),
              end.namespace_descriptor(), text.data());
}

int run(const Options& options) {
  const CurrentNamespace home;
  if (!home.is_open()) return report({"open /proc/self/ns/net", errno}, options);
  PathDevice near("near", kNearAddress);
  PathDevice far("far", kFarAddress);
  for (PathDevice* end : {&near, &far}) {
    if (const auto failure = end->make(options.congestion)) return report(*failure, options);
    if (!home.enter()) return report({"setns", errno}, options);
  }
  // By default the kernel may wake it 50 microseconds late. Both calls are without effect if the kernel
  // refuses.
  prctl(PR_SET_TIMERSLACK, 1UL);
  setpriority(PRIO_PROCESS, 0, kNice);
  std::putchar('{');
  print_end("near", near);
  std::putchar(',');
  print_end("far", far);
  std::puts("}");
  std::fflush(stdout);
  return Link(options, home, near, far).run();
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_path_link [NAME=VALUE ...]\n", stderr);
    return kExitUsage;
  }
  return run(*options);
}

#else

int main() {
  std::fputs("bench_path_link: this system has no network namespaces\n", stderr);
  return 1;
}

#endif
