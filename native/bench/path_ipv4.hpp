// The parts of IPv4 that the link of the path rows reads and changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hawser::bench {

// An IPv4 address in host byte order.
using Ipv4Address = std::uint32_t;

// Returns the Internet checksum after one of the 16-bit words that it covers has changed: RFC 1624,
// equation 3.
constexpr std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) {
  constexpr std::uint32_t kLow = 0xffff;
  std::uint32_t sum = (~std::uint32_t{checksum} & kLow) + (~std::uint32_t{before} & kLow) + after;
  sum = (sum & kLow) + (sum >> 16U);
  sum = (sum & kLow) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

// A view of a packet. Setters update its checksum and the checksum of UDP or TCP inside it.
class Ipv4Packet {
 public:
  // Returns nullopt if the bytes are no IPv4 packet.
  static std::optional<Ipv4Packet> read(std::span<std::byte> bytes) {
    if (bytes.size() < kLeastHeader || std::to_integer<unsigned>(bytes[0]) >> 4U != 4) return std::nullopt;
    const Ipv4Packet packet(bytes);
    if (packet.header_bytes() < kLeastHeader || packet.header_bytes() > bytes.size()) return std::nullopt;
    return packet;
  }

  [[nodiscard]] Ipv4Address source() const { return address(kSource); }
  [[nodiscard]] Ipv4Address destination() const { return address(kDestination); }
  void set_source(Ipv4Address address) { set_address(kSource, address); }
  void set_destination(Ipv4Address address) { set_address(kDestination, address); }

 private:
  static constexpr std::size_t kLeastHeader = 20;
  static constexpr std::size_t kFragment = 6;
  static constexpr std::uint16_t kFragmentOffset = 0x1fff;
  static constexpr std::size_t kProtocol = 9;
  static constexpr std::size_t kChecksum = 10;
  static constexpr std::size_t kSource = 12;
  static constexpr std::size_t kDestination = 16;
  static constexpr unsigned kTcp = 6;
  static constexpr unsigned kUdp = 17;
  static constexpr std::size_t kTcpChecksum = 16;
  static constexpr std::size_t kUdpChecksum = 6;

  explicit Ipv4Packet(std::span<std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t header_bytes() const {
    return (std::to_integer<std::size_t>(bytes_[0]) & 0xfU) * 4;
  }

  [[nodiscard]] std::uint16_t word(std::size_t at) const {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes_[at]) << 8U |
                                      std::to_integer<unsigned>(bytes_[at + 1]));
  }
  void set_word(std::size_t at, std::uint16_t value) {
    bytes_[at] = static_cast<std::byte>(value >> 8U);
    bytes_[at + 1] = static_cast<std::byte>(value & 0xffU);
  }

  [[nodiscard]] Ipv4Address address(std::size_t at) const {
    return Ipv4Address{word(at)} << 16U | word(at + 2);
  }

  // Both checksums cover the addresses: TCP and UDP include them in a pseudo header.
  void set_address(std::size_t at, Ipv4Address address) {
    for (const auto& [place, value] : {std::pair(at, static_cast<std::uint16_t>(address >> 16U)),
                                       std::pair(at + 2, static_cast<std::uint16_t>(address & 0xffffU))}) {
      const std::uint16_t before = word(place);
      set_word(place, value);
      set_word(kChecksum, updated_checksum(word(kChecksum), before, value));
      update_transport_checksum(before, value);
    }
  }

  void update_transport_checksum(std::uint16_t before, std::uint16_t after) {
    // Only the first fragment has the header with the checksum.
    if ((word(kFragment) & kFragmentOffset) != 0) return;
    const auto protocol = std::to_integer<unsigned>(bytes_[kProtocol]);
    if (protocol != kTcp && protocol != kUdp) return;
    const std::size_t at = header_bytes() + (protocol == kTcp ? kTcpChecksum : kUdpChecksum);
    if (at + 2 > bytes_.size()) return;
    // 0 says that a datagram of UDP has no checksum, so that one which is 0 is sent as 0xffff (RFC 768).
    if (protocol == kUdp && word(at) == 0) return;
    const std::uint16_t checksum = updated_checksum(word(at), before, after);
    set_word(at, protocol == kUdp && checksum == 0 ? std::uint16_t{0xffff} : checksum);
  }

  std::span<std::byte> bytes_;
};

}  // namespace hawser::bench
