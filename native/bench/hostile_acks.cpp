// Cost of what a peer, or a time to live, can make the sending side do, for each element at two sizes: losses
// that come in the worst order, one acknowledgement for many packets, acknowledgements that change nothing,
// and messages that expire while others wait. A ratio near 1 says that work grows no faster than input.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "engine/transfer.hpp"
#include "wire/frames.hpp"

namespace hawser {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kCapacity = 1'150;
constexpr std::size_t kMessage = 1'000;
constexpr Duration kRoundTrip = milliseconds(100);

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "hostile_acks: %s\n", what);
  std::exit(1);
}

// A sending side whose packets go nowhere and whose acknowledgements are what a benchmark says. Each message
// of kMessage bytes has a packet of its own.
class Sender {
 public:
  explicit Sender(std::uint32_t credit)
      : settings_(std::size_t{1} << 20U, 1, std::size_t{4} << 20U),
        transfer_(settings(), credit, credit, path_mtu_) {}

  void enqueue(std::size_t count, std::size_t size, Instant expires = kNever) {
    const std::vector<std::byte> data(size);
    for (std::size_t i = 0; i < count; ++i) require(transfer_.enqueue(0, data, expires, 0), "no memory");
  }
  // Sends at most `most` packets within a round trip, as pacing and the window allow.
  std::size_t send(std::size_t most) {
    std::size_t sent = 0;
    for (Duration passed{}; passed < kRoundTrip && sent < most; passed += milliseconds(1)) {
      while (sent < most && send_packet()) ++sent;
      now += milliseconds(1);
    }
    return sent;
  }
  void acknowledge(std::uint64_t smallest, std::uint64_t largest) {
    const AckRange range{smallest, largest};
    acknowledge(std::span(&range, 1));
  }
  void acknowledge(std::span<const AckRange> ranges) {
    // By hand, because a hostile peer may send more ranges than write_ack() takes.
    std::vector<std::byte> bytes(64 + ranges.size() * 16);
    ByteWriter writer(bytes);
    writer.u8(static_cast<std::uint8_t>(FrameType::kAck));
    writer.varint(ranges[0].largest);
    writer.varint(0);
    writer.varint(ranges.size() - 1);
    writer.varint(ranges[0].largest - ranges[0].smallest);
    for (std::size_t i = 1; i < ranges.size(); ++i) {
      writer.varint(ranges[i - 1].smallest - ranges[i].largest - 2);
      writer.varint(ranges[i].largest - ranges[i].smallest);
    }
    FrameReader reader(writer.written());
    Frame frame;
    require(reader.next(frame), "no ACK to read");
    transfer_.on_ack(frame.ack, next, round_trip_, now);
  }
  // Sends `count` packets, of one message each. Returns the number of the first one.
  std::uint64_t fill(std::size_t count) {
    const std::uint64_t first = next;
    enqueue(count, kMessage);
    require(send(count) == count, "the window is closed");
    return first;
  }
  // A packet comes late by nearly a round trip, so that only time shows a loss, after two round trips.
  void learn_reordering() {
    const std::uint64_t first = fill(5);
    now += kRoundTrip;
    acknowledge(first + 1, first + 4);
    now += kRoundTrip * 9 / 10;
    acknowledge(first, first + 4);
  }
  // Enough round trips that a window of `packets` is open.
  void open_window(std::size_t packets) {
    for (int round = 0; round < 200; ++round) {
      if (transfer_.controller() != nullptr && transfer_.controller()->window() > packets * 1'200) return;
      enqueue(2 * packets, kMessage);
      while (transfer_.queued_bytes() > 0) {
        const std::uint64_t first = next;
        send(SIZE_MAX);
        now += kRoundTrip;
        if (next > first) acknowledge(first, next - 1);
      }
    }
    require(false, "the window does not open");
  }
  void advance(Duration duration) {
    now += duration;
    transfer_.on_timer(round_trip_, next, now);
  }
  [[nodiscard]] const Transfer& transfer() const { return transfer_; }

  std::uint64_t next = 0;
  Instant now{std::chrono::seconds(1'000)};

 private:
  TransferSettings& settings() {
    settings_.congestion = CongestionAlgorithm::kCubic;
    settings_.credit_budget = &credit_budget_;
    settings_.channels = {{"bulk", "", ChannelMode::kReliableUnordered, ChannelPriority::kNormal, 64 * 1024}};
    return settings_;
  }
  bool send_packet() {
    std::array<std::byte, kCapacity> bytes;
    ByteWriter writer(bytes);
    transfer_.fill(writer, kCapacity, false, round_trip_, now);
    if (!transfer_.has_open_frames()) return false;
    transfer_.on_sent(next++, writer.position() + 50, now);
    return true;
  }

  CreditBudget credit_budget_{0};
  TransferSettings settings_;
  PathMtu path_mtu_;
  RoundTrip round_trip_;
  Transfer transfer_;
};

template <class F>
double nanoseconds(F&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

// Older messages are lost a second time after younger ones: for each one, by one acknowledgement.
double reversed_losses(std::size_t count) {
  Sender sender(UINT32_MAX);
  sender.open_window(2 * count);
  const std::uint64_t first = sender.fill(2 * count);
  sender.now += kRoundTrip;
  // The first half is lost and sent again behind the second half.
  sender.acknowledge(first + count, first + count + 3);
  const std::uint64_t again = sender.next;
  while (sender.next < again + count / 4) require(sender.send(count / 4) > 0, "nothing is sent again");
  sender.now += kRoundTrip;
  const std::uint64_t lost = sender.transfer().recovery().packets_lost();
  const double time = nanoseconds([&] { sender.acknowledge(sender.next - 1, sender.next - 1); });
  return time / static_cast<double>(sender.transfer().recovery().packets_lost() - lost);
}

// One acknowledgement for all packets, with a range for every second one.
double sparse_ranges(std::size_t count) {
  Sender sender(UINT32_MAX);
  sender.open_window(count);
  const std::uint64_t first = sender.fill(count);
  sender.now += kRoundTrip;
  std::vector<AckRange> ranges;
  for (std::uint64_t number = sender.next - 1; number > first; number -= 2)
    ranges.push_back({number, number});
  return nanoseconds([&] { sender.acknowledge(ranges); }) / static_cast<double>(count);
}

// Acknowledgements of the oldest packet, again and again, while all others are in flight.
double repeated_acknowledgements(std::size_t count) {
  Sender sender(UINT32_MAX);
  sender.open_window(count);
  const std::uint64_t first = sender.fill(count);
  constexpr int kTimes = 1'000;
  return nanoseconds([&] {
           for (int i = 0; i < kTimes; ++i) sender.acknowledge(first, first);
         }) /
         kTimes;
}

// Acknowledgements of all packets but the oldest, again and again, each with one more at the end. An honest
// receiver sends these until a lost packet is sent again.
double growing_acknowledgements(std::size_t count) {
  Sender sender(UINT32_MAX);
  sender.open_window(count);
  sender.learn_reordering();
  const std::uint64_t first = sender.fill(count);
  sender.now += kRoundTrip;
  const std::uint64_t lost = sender.transfer().recovery().packets_lost();
  constexpr std::size_t kTimes = 1'000;
  sender.acknowledge(first + 1, sender.next - kTimes - 1);
  const double time = nanoseconds([&] {
    for (std::uint64_t last = sender.next - kTimes; last < sender.next; ++last)
      sender.acknowledge(first + 1, last);
  });
  require(sender.transfer().recovery().packets_lost() == lost, "a packet is lost");
  return time / kTimes;
}

// Acknowledgements of the two outermost packets that are still in flight, from the outside inward.
double inward_acknowledgements(std::size_t count) {
  Sender sender(UINT32_MAX);
  sender.open_window(count);
  sender.learn_reordering();
  const std::uint64_t first = sender.fill(count);
  sender.now += kRoundTrip;
  const std::uint64_t lost = sender.transfer().recovery().packets_lost();
  const std::uint64_t last = sender.next - 1;
  sender.acknowledge(last, last);
  constexpr std::size_t kTimes = 500;
  const double time = nanoseconds([&] {
    for (std::uint64_t i = 0; i < kTimes; ++i) {
      const AckRange ranges[] = {{last - 1 - i, last}, {first + 1, first + 1 + i}};
      sender.acknowledge(ranges);
    }
  });
  require(sender.transfer().recovery().packets_lost() == lost, "a packet is lost");
  return time / kTimes;
}

// Messages of which one expires at a time, while no credit lets any of them go.
double expiries(std::size_t count) {
  Sender sender(0);
  for (std::size_t i = 0; i < count; ++i) sender.enqueue(1, 10, sender.now + milliseconds(10) * (i + 1));
  const double time = nanoseconds([&] {
    for (std::size_t i = 0; i < count; ++i) sender.advance(milliseconds(10));
  });
  require(sender.transfer().messages_expired() + 1 >= count, "not all have expired");
  return time / static_cast<double>(count);
}

// Messages with a long time to live that are acknowledged long before it.
double unused_expiries(std::size_t count) {
  Sender sender(UINT32_MAX);
  std::size_t held = 0;
  const double time = nanoseconds([&] {
    for (std::size_t done = 0; done < count; done += 10) {
      sender.enqueue(10, kMessage, sender.now + std::chrono::hours(1));
      const std::uint64_t first = sender.next;
      while (sender.transfer().queued_bytes() > 0) sender.send(10);
      sender.acknowledge(first, sender.next - 1);
    }
    held = sender.transfer().queued_bytes();
  });
  require(held == 0, "messages are left");
  return time / static_cast<double>(count);
}

void measure(const char* name, double (*run)(std::size_t), std::size_t size) {
  // The best of several runs, because a machine may do other work meanwhile.
  double small = run(size);
  double large = run(8 * size);
  for (int again = 0; again < 4; ++again) {
    small = std::min(small, run(size));
    large = std::min(large, run(8 * size));
  }
  std::printf("  \"%s\": {\"nsPerElement\": [%.0f, %.0f], \"sizes\": [%zu, %zu], \"ratio\": %.2f}", name,
              small, large, size, 8 * size, large / small);
  std::fflush(stdout);
}

}  // namespace

}  // namespace hawser

int main() {
  std::printf("{\n");
  hawser::measure("reversedLosses", hawser::reversed_losses, 2'000);
  std::printf(",\n");
  hawser::measure("sparseRanges", hawser::sparse_ranges, 2'000);
  std::printf(",\n");
  hawser::measure("repeatedAcknowledgements", hawser::repeated_acknowledgements, 2'000);
  std::printf(",\n");
  hawser::measure("growingAcknowledgements", hawser::growing_acknowledgements, 2'000);
  std::printf(",\n");
  hawser::measure("inwardAcknowledgements", hawser::inward_acknowledgements, 2'000);
  std::printf(",\n");
  hawser::measure("expiries", hawser::expiries, 2'000);
  std::printf(",\n");
  hawser::measure("unusedExpiries", hawser::unused_expiries, 2'000);
  std::printf("\n}\n");
  return 0;
}
