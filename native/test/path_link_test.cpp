// The parts of native/bench/path_link.cpp that need no device.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.hpp"
#include "bench/path_ipv4.hpp"
#include "bench/path_settings.hpp"

using namespace hawser;
using namespace hawser::bench;

namespace {

constexpr Ipv4Address kFrom = 0x0a4d'0001;
constexpr Ipv4Address kTo = 0x0a4d'0002;
constexpr Ipv4Address kOther = 0x0a4d'0003;
constexpr std::size_t kHeader = 20;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

std::uint32_t sum_of(std::span<const std::byte> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += std::to_integer<std::uint32_t>(bytes[i]) << 8U;
    if (i + 1 < bytes.size()) sum += std::to_integer<std::uint32_t>(bytes[i + 1]);
  }
  return sum;
}

std::uint16_t folded(std::uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

void put(std::span<std::byte> bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::byte>(value >> 8U);
  bytes[at + 1] = static_cast<std::byte>(value & 0xffU);
}

// Sum of all words of the pseudo header, the transport header and the payload.
std::uint16_t transport_sum(std::span<const std::byte> packet) {
  const auto length = static_cast<std::uint32_t>(packet.size() - kHeader);
  return folded(sum_of(packet.subspan(12, 8)) + std::to_integer<std::uint32_t>(packet[9]) + length +
                sum_of(packet.subspan(kHeader)));
}

// A packet with right checksums, as a sender makes it.
std::vector<std::byte> packet_of(std::uint8_t protocol, std::size_t payload, SeededRandom& random) {
  std::vector<std::byte> packet(kHeader + kHeader + payload);
  random.fill(std::span(packet).subspan(kHeader));
  packet[0] = std::byte{0x45};
  packet[9] = std::byte{protocol};
  put(packet, 12, kFrom >> 16U);
  put(packet, 14, kFrom & 0xffffU);
  put(packet, 16, kTo >> 16U);
  put(packet, 18, kTo & 0xffffU);
  put(packet, 10, static_cast<std::uint16_t>(~folded(sum_of(std::span(packet).first(kHeader)))));
  const std::size_t checksum = kHeader + (protocol == kTcp ? 16 : 6);
  put(packet, checksum, 0);
  const auto value = static_cast<std::uint16_t>(~transport_sum(packet));
  put(packet, checksum, value == 0 ? std::uint16_t{0xffff} : value);
  return packet;
}

}  // namespace

TEST_CASE("the link of the path rows: other addresses leave all checksums right") {
  constexpr std::uint16_t kRight = 0xffff;
  SeededRandom random(7);
  for (std::size_t payload = 0; payload < 100; ++payload) {
    for (const std::uint8_t protocol : {kTcp, kUdp}) {
      auto packet = packet_of(protocol, payload, random);
      REQUIRE(transport_sum(packet) == kRight);
      auto view = Ipv4Packet::read(packet);
      REQUIRE(view);
      CHECK(view->source() == kFrom);
      CHECK(view->destination() == kTo);
      view->set_source(kOther);
      view->set_destination(kFrom);
      CHECK(view->source() == kOther);
      CHECK(view->destination() == kFrom);
      CHECK(folded(sum_of(std::span(packet).first(kHeader))) == kRight);
      CHECK(transport_sum(packet) == kRight);
    }
  }
}

TEST_CASE(
    "the link of the path rows: a datagram without a checksum, and a later fragment, keep their bytes") {
  SeededRandom random(8);
  auto packet = packet_of(kUdp, 40, random);
  put(packet, kHeader + 6, 0);
  const std::vector<std::byte> payload(packet.begin() + kHeader, packet.end());
  Ipv4Packet::read(packet)->set_source(kOther);
  CHECK(std::vector<std::byte>(packet.begin() + kHeader, packet.end()) == payload);

  auto fragment = packet_of(kUdp, 40, random);
  put(fragment, 6, 1);
  const std::vector<std::byte> before(fragment.begin() + kHeader, fragment.end());
  Ipv4Packet::read(fragment)->set_source(kOther);
  CHECK(std::vector<std::byte>(fragment.begin() + kHeader, fragment.end()) == before);
}

TEST_CASE("the link of the path rows: what is no IPv4 packet is not taken for one") {
  std::vector<std::byte> bytes(kHeader);
  CHECK_FALSE(Ipv4Packet::read(bytes));
  bytes[0] = std::byte{0x60};
  CHECK_FALSE(Ipv4Packet::read(bytes));
  bytes[0] = std::byte{0x44};
  CHECK_FALSE(Ipv4Packet::read(bytes));
  bytes[0] = std::byte{0x46};
  CHECK_FALSE(Ipv4Packet::read(bytes));
  bytes[0] = std::byte{0x45};
  CHECK(Ipv4Packet::read(bytes));
  CHECK_FALSE(Ipv4Packet::read(std::span(bytes).first(kHeader - 1)));
}

TEST_CASE("the link of the path rows: settings are read by their names") {
  LinkSettings settings;
  CHECK(apply_setting(settings, "delayMs", "95"));
  CHECK(apply_setting(settings, "jitterMs", "0.5"));
  CHECK(apply_setting(settings, "jitterReorders", "true"));
  CHECK(apply_setting(settings, "lossRate", "0.02"));
  CHECK(apply_setting(settings, "leastHoldBackMs", "10"));
  CHECK(apply_setting(settings, "mostHoldBackMs", "10"));
  CHECK(apply_setting(settings, "bytesPerSecond", "3750000"));
  CHECK(apply_setting(settings, "queueBytes", "150000"));
  CHECK(settings.delay == std::chrono::milliseconds(95));
  CHECK(settings.jitter == Duration(500));
  CHECK(settings.jitter_reorders);
  CHECK(settings.loss_rate == doctest::Approx(0.02));
  CHECK(settings.least_hold_back == settings.most_hold_back);
  CHECK(settings.bytes_per_second == 3'750'000);
  CHECK(settings.queue_bytes == 150'000);

  CHECK_FALSE(apply_setting(settings, "delay", "95"));
  CHECK_FALSE(apply_setting(settings, "lossRate", "1.5"));
  CHECK_FALSE(apply_setting(settings, "lossRate", "nan"));
  CHECK_FALSE(apply_setting(settings, "lossRate", "0.1x"));
  CHECK_FALSE(apply_setting(settings, "delayMs", "-1"));
  CHECK_FALSE(apply_setting(settings, "jitterReorders", "yes"));
  CHECK_FALSE(split_setting("=1"));
  CHECK_FALSE(split_setting("delayMs="));
  CHECK(split_setting("delayMs=95")->second == "95");
}
