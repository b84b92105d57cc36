// Shared by the programs of rivals in C. They send and receive the messages of the rows about paths, as
// bench/programs/path-end.mjs does for drivers in JavaScript. Linux only.
//
//   PROGRAM listen ADDRESS
//   PROGRAM connect ADDRESS PORT
//
// Prints a line of JSON once it listens or is connected, {"port":PORT}. Then reads commands, a line each, and
// answers each with a line of JSON, in order:
//
//   heard                   answers once the other side is connected
//   send BYTES              sends messages of 16 KiB as fast as it can, BYTES in all
//   receive BYTES MS        answers with the bytes that came: once it is BYTES, or after MS milliseconds
//   pace COUNT BYTES RATE   sends COUNT messages of BYTES, RATE a second
//   latencies COUNT MS      answers with the latency of each message: once it is COUNT, or after MS
//   mark                    answers with the CPU time that this process has used
#pragma once

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "path_lines.hpp"

namespace hawser::bench {

using SteadyClock = std::chrono::steady_clock;

inline constexpr int kExitUnavailable = 3;
// A message begins with its number, u32. If it is paced, it has the time at which it was sent at kSentAt.
inline constexpr std::size_t kMessageBytes = 16 * 1024;
inline constexpr std::size_t kSentAt = 8;
inline constexpr auto kConnectPatience = std::chrono::seconds(15);

// Milliseconds of the clock that all processes of a machine share: `sharedTimeMs` of bench/lib/program.mjs.
inline double shared_time_ms(SteadyClock::time_point instant) {
  return std::chrono::duration<double, std::milli>(instant.time_since_epoch()).count();
}

// Messages to send.
class MessageSource {
 public:
  void send_all(std::uint64_t bytes) {
    message_.assign(kMessageBytes, std::byte{0x5a});
    left_ = (bytes + kMessageBytes - 1) / kMessageBytes;
    interval_ = {};
  }

  void send_paced(std::uint64_t count, std::size_t bytes, std::uint64_t per_second) {
    message_.assign(std::max(bytes, kSentAt + sizeof(double)), std::byte{0x5a});
    left_ = count;
    interval_ = std::chrono::nanoseconds(std::chrono::seconds(1)) / static_cast<std::int64_t>(per_second);
    due_ = SteadyClock::now();
  }

  // Returns when to send the next message; nullopt after the last one.
  [[nodiscard]] std::optional<SteadyClock::time_point> due() const {
    if (left_ == 0) return std::nullopt;
    return due_;
  }

  // The next message, valid until the next call; empty if none is due.
  [[nodiscard]] std::span<const std::byte> next() {
    const auto now = SteadyClock::now();
    if (left_ == 0 || (interval_.count() > 0 && now < due_)) return {};
    std::memcpy(message_.data(), &number_, sizeof number_);
    if (interval_.count() > 0) {
      const double sent_at = shared_time_ms(now);
      std::memcpy(message_.data() + kSentAt, &sent_at, sizeof sent_at);
      due_ += interval_;
    }
    ++number_;
    --left_;
    return message_;
  }

 private:
  std::vector<std::byte> message_;
  std::uint64_t left_ = 0;
  std::uint32_t number_ = 0;
  std::chrono::nanoseconds interval_{};
  SteadyClock::time_point due_{};
};

// Counts what has come.
class MessageSink {
 public:
  void take(std::span<const std::byte> message) {
    if (message.size() < kSentAt + sizeof(double)) return;
    last_ = SteadyClock::now();
    bytes += message.size();
    std::uint32_t number = 0;
    std::memcpy(&number, message.data(), sizeof number);
    if (number != expected_) ++misplaced;
    expected_ = number + 1;
    if (!timed) return;
    double sent_at = 0;
    std::memcpy(&sent_at, message.data() + kSentAt, sizeof sent_at);
    latencies_ms.push_back(shared_time_ms(last_) - sent_at);
  }

  [[nodiscard]] SteadyClock::time_point last() const { return last_; }

  std::uint64_t bytes = 0;
  std::uint64_t misplaced = 0;
  bool timed = false;
  std::vector<double> latencies_ms;

 private:
  std::uint32_t expected_ = 0;
  SteadyClock::time_point last_{};
};

// One side of a connection of a rival.
class Endpoint {
 public:
  Endpoint() = default;
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  virtual ~Endpoint() = default;

  [[nodiscard]] virtual int descriptor() const = 0;
  [[nodiscard]] virtual unsigned port() const = 0;
  [[nodiscard]] virtual bool is_connected() const = 0;
  [[nodiscard]] virtual bool has_failed() const = 0;
  [[nodiscard]] virtual bool has_room() const = 0;
  virtual void send(std::span<const std::byte> message) = 0;
  // Receives what has come, and sends what waits and may be sent now.
  virtual void service(MessageSink& sink) = 0;
  // How long it may be left alone at most.
  [[nodiscard]] virtual std::chrono::nanoseconds patience() const = 0;
};

// Answers the commands, and moves the messages meanwhile.
class TransferProgram {
 public:
  explicit TransferProgram(Endpoint& endpoint) : endpoint_(endpoint) {}

  // Returns false if the connection fails, or does not come about in time.
  bool connect() {
    const auto end = SteadyClock::now() + kConnectPatience;
    while (!endpoint_.is_connected()) {
      if (endpoint_.has_failed() || SteadyClock::now() > end) return false;
      endpoint_.service(sink_);
      wait(false);
    }
    return true;
  }

  // Until the standard input ends. Returns the exit code.
  int run() {
    std::printf(R"({"port":%u})"
                "\n",
                endpoint_.port());
    std::fflush(stdout);
    for (;;) {
      endpoint_.service(sink_);
      feed();
      if (pending_ && pending_()) pending_ = nullptr;
      std::fflush(stdout);
      if (wait(true) && !read_commands()) return 0;
    }
  }

 private:
  void feed() {
    bool fed = false;
    while (endpoint_.is_connected() && endpoint_.has_room()) {
      const auto message = source_.next();
      if (message.empty()) break;
      endpoint_.send(message);
      fed = true;
    }
    if (fed) endpoint_.service(sink_);
  }

  // Returns whether there are commands to read.
  bool wait(bool with_commands) {
    auto patience = endpoint_.patience();
    if (const auto due = source_.due(); due && endpoint_.has_room())
      patience = std::min<std::chrono::nanoseconds>(patience, *due - SteadyClock::now());
    if (pending_) patience = std::min<std::chrono::nanoseconds>(patience, deadline_ - SteadyClock::now());
    patience = std::clamp<std::chrono::nanoseconds>(patience, std::chrono::nanoseconds(0), kMostPatience);
    std::array<pollfd, 2> waiting{
        {{endpoint_.descriptor(), POLLIN, 0}, {with_commands ? STDIN_FILENO : -1, POLLIN, 0}}};
    const timespec timeout{.tv_sec = 0, .tv_nsec = static_cast<long>(patience.count())};
    return ppoll(waiting.data(), waiting.size(), &timeout, nullptr) > 0 && waiting[1].revents != 0;
  }

  // Returns false at the end of the input.
  bool read_commands() {
    return input_.read_available([this](const std::string& line) { begin(line); });
  }

  void begin(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    words >> command >> first >> second >> third;
    if (command == "heard") {
      deadline_ = SteadyClock::now() + kConnectPatience;
      pending_ = [this] { return answer_heard(); };
    } else if (command == "send") {
      source_.send_all(first);
      answer_begun();
    } else if (command == "pace" && third > 0) {
      source_.send_paced(first, static_cast<std::size_t>(second), third);
      answer_begun();
    } else if (command == "receive") {
      sink_.bytes = 0;
      deadline_ = SteadyClock::now() + std::chrono::milliseconds(second);
      pending_ = [this, first] { return answer_received(first); };
    } else if (command == "latencies") {
      sink_.timed = true;
      deadline_ = SteadyClock::now() + std::chrono::milliseconds(second);
      pending_ = [this, first] { return answer_latencies(first); };
    } else if (command == "mark") {
      answer_mark();
    } else {
      std::puts(R"({"error":"no such command"})");
    }
  }

  [[nodiscard]] bool is_late() const { return SteadyClock::now() >= deadline_; }

  bool answer_heard() {
    if (!endpoint_.is_connected() && !is_late()) return false;
    std::puts(endpoint_.is_connected() ? R"({"done":true})" : R"({"error":"nothing has connected"})");
    return true;
  }

  static void answer_begun() { std::printf("{\"beganMs\":%.4f}\n", shared_time_ms(SteadyClock::now())); }

  bool answer_received(std::uint64_t bytes) {
    const bool complete = sink_.bytes >= bytes;
    if (!complete && !is_late() && !endpoint_.has_failed()) return false;
    const double end = shared_time_ms(complete ? sink_.last() : deadline_);
    std::printf(R"({"bytes":%)" PRIu64 R"(,"misplaced":%)" PRIu64 R"(,"endedMs":%.4f})"
                "\n",
                sink_.bytes, sink_.misplaced, end);
    return true;
  }

  bool answer_latencies(std::uint64_t count) {
    if (sink_.latencies_ms.size() < count && !is_late() && !endpoint_.has_failed()) return false;
    std::printf(R"({"misplaced":%)" PRIu64 R"(,"latenciesMs":[)", sink_.misplaced);
    const char* separator = "";
    for (const double latency : sink_.latencies_ms) {
      std::printf("%s%.4f", separator, latency);
      separator = ",";
    }
    std::puts("]}");
    return true;
  }

  static void answer_mark() {
    timespec cpu{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const double micros = static_cast<double>(cpu.tv_sec) * 1e6 + static_cast<double>(cpu.tv_nsec) / 1e3;
    std::printf("{\"timeMs\":%.4f,\"cpuMicros\":%.1f}\n", shared_time_ms(SteadyClock::now()), micros);
  }

  static constexpr std::chrono::nanoseconds kMostPatience = std::chrono::milliseconds(100);

  Endpoint& endpoint_;
  MessageSource source_;
  MessageSink sink_;
  CommandLines input_;
  // Tries to answer a command that has to wait; returns whether it has.
  std::function<bool()> pending_;
  SteadyClock::time_point deadline_{};
};

// The address to listen at, or to connect to.
struct TransferArguments {
  bool listens = false;
  const char* address = "";
  std::uint16_t port = 0;
};

inline std::optional<TransferArguments> read_transfer_arguments(std::span<char*> arguments) {
  if (arguments.size() < 3) return std::nullopt;
  const std::string_view role = arguments[1];
  TransferArguments read{.listens = role == "listen", .address = arguments[2], .port = 0};
  if (read.listens && arguments.size() == 3) return read;
  if (role != "connect" || arguments.size() != 4) return std::nullopt;
  const std::string_view text = arguments[3];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read.port);
  if (error != std::errc{} || end != text.data() + text.size() || read.port == 0) return std::nullopt;
  return read;
}

// Runs a program with the endpoint that `make` gives, a pointer, which is null if it cannot be made.
template <class Make>
int run_transfer(const char* name, std::span<char*> arguments, const Make& make) {
  const auto read = read_transfer_arguments(arguments);
  if (!read) {
    std::fprintf(stderr, "usage: %s listen ADDRESS | connect ADDRESS PORT\n", name);
    return 2;
  }
  const auto endpoint = make(*read);
  if (endpoint == nullptr) {
    std::fprintf(stderr, "%s: cannot open a socket at %s\n", name, read->address);
    return 1;
  }
  TransferProgram program(*endpoint);
  if (!read->listens && !program.connect()) {
    std::fprintf(stderr, "%s: %s:%u does not answer\n", name, read->address, read->port);
    return 1;
  }
  return program.run();
}

}  // namespace hawser::bench
