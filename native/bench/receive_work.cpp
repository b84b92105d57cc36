// Cost of what a hostile peer can make the receiving side of a channel do, for each element that it sends.
//
//   bench_receive_work
//
// Each case runs at two sizes, the larger one eight times the smaller one, and prints one JSON object: the
// cost of an element at both sizes in nanoseconds (the least of five runs), and their ratio. A ratio near 1
// means that the work grows no faster than the input; caches account for some of what is above 1.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "engine/receive_channel.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a benchmark

constexpr std::uint32_t kLongest = 16 * 1024 * 1024;
constexpr std::uint32_t kCredit = 1U << 31U;
constexpr int kRuns = 5;

// Pieces of one byte that never touch, of a message that may have so many.
double pieces(std::uint32_t count, std::uint32_t (*place)(std::uint32_t piece, std::uint32_t count)) {
  BlockPool pool(SIZE_MAX, 0);
  PendingMessage message(kLongest);
  const std::array<std::byte, 1> data{};
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint32_t piece = 0; piece < count; ++piece) {
    if (message.add(pool, 2 * place(piece, count), data) != PendingMessage::Added::kDone) std::abort();
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - begin;
  return elapsed.count() / count;
}

struct Receiver {
  explicit Receiver(ChannelMode mode)
      : channel(0, {"c", "", mode, ChannelPriority::kNormal, kLongest}, kCredit),
        connection(kCredit, kLongest + static_cast<std::uint32_t>(kMessageCost)) {}

  void message(std::uint64_t number) {
    if (channel.on_message(memory, connection, number, data, deliver) != Received::kDone) std::abort();
  }
  // Half of a message of two bytes.
  void part(std::uint64_t number, std::uint32_t offset) {
    if (channel.on_part(memory, connection, number, 2, offset, Bytes(data), deliver) != Received::kDone)
      std::abort();
  }
  // Gives the user room for so many messages.
  void resume(std::uint64_t messages) {
    room = messages;
    static_cast<void>(channel.deliver_waiting(connection, deliver));
  }

  std::uint64_t room = std::numeric_limits<std::uint64_t>::max();
  struct Deliver {
    Receiver& receiver;
    bool operator()(Bytes /*data*/, bool /*kept*/) const {
      if (receiver.room == 0) return false;
      --receiver.room;
      return true;
    }
  };
  Deliver deliver{*this};
  ReceiveMemory memory{std::size_t{16} << 30U, 1, std::size_t{2} << 20U};
  ReceiveChannel channel;
  Credit connection;
  std::array<std::byte, 1> data{};
};

template <class F>
double per_message(ChannelMode mode, std::uint64_t count, F&& run) {
  const auto receiver = std::make_unique<Receiver>(mode);
  const auto begin = std::chrono::steady_clock::now();
  run(*receiver, count);
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - begin;
  return elapsed.count() / static_cast<double>(count);
}

template <class F>
void report(const char* name, std::uint32_t small, F&& cost) {
  const auto least = [&](std::uint32_t size) {
    double best = std::numeric_limits<double>::max();
    for (int run = 0; run < kRuns; ++run) best = std::min(best, cost(size));
    return best;
  };
  const double at_small = least(small);
  const double at_large = least(8 * small);
  std::printf("{\"case\":\"%s\",\"elements\":[%u,%u],\"nanoseconds\":[%.1f,%.1f],\"ratio\":%.2f}\n", name,
              small, 8 * small, at_small, at_large, at_large / at_small);
}

}  // namespace

int main() {
  constexpr std::uint32_t kPieces = 2'048;  // 16,384 are allowed
  report("pieces, descending", kPieces, [](std::uint32_t count) {
    return pieces(count, [](std::uint32_t piece, std::uint32_t all) { return all - 1 - piece; });
  });
  report("pieces, from both ends", kPieces, [](std::uint32_t count) {
    return pieces(count, [](std::uint32_t piece, std::uint32_t all) {
      return piece % 2 == 0 ? piece / 2 : all - 1 - piece / 2;
    });
  });
  report("pieces, scattered", kPieces, [](std::uint32_t count) {
    return pieces(count, [](std::uint32_t piece, std::uint32_t all) { return piece * 1'237 % all; });
  });
  constexpr std::uint32_t kMessages = 8'192;
  // Few enough that the memory of all stays in caches.
  constexpr std::uint32_t kInParts = 1'024;
  for (const ChannelMode mode : {ChannelMode::kReliable, ChannelMode::kReliableUnordered}) {
    const bool ordered = mode == ChannelMode::kReliable;
    report(ordered ? "ordered, the last first" : "unordered, the last first", kMessages,
           [mode](std::uint32_t count) {
             return per_message(mode, count, [](Receiver& receiver, std::uint64_t messages) {
               while (messages > 0) receiver.message(--messages);
             });
           });
    report(ordered ? "ordered, room for one at a time" : "unordered, room for one at a time", kMessages,
           [mode](std::uint32_t count) {
             return per_message(mode, count, [](Receiver& receiver, std::uint64_t messages) {
               receiver.room = 0;
               for (std::uint64_t number = 1; number <= messages; ++number) receiver.message(number);
               receiver.message(0);
               for (std::uint64_t number = 0; number <= messages; ++number) receiver.resume(1);
             });
           });
    report(ordered ? "ordered, parts, first and last in turn" : "unordered, parts, first and last in turn",
           kInParts, [mode](std::uint32_t count) {
             return per_message(mode, count, [](Receiver& receiver, std::uint64_t messages) {
               for (std::uint64_t number = 1; number <= messages; ++number) receiver.part(number, 0);
               for (std::uint64_t i = 0; i < messages; ++i)
                 receiver.part(i % 2 == 0 ? 1 + i / 2 : messages - i / 2, 1);
             });
           });
  }
}
