// Session packets: header, packet number, seal. The first byte of the input is the length of the receiver's
// ids, the next eight the packet number that it expects, the rest the datagram, and again the frames of a
// packet of our own.
#include <algorithm>
#include <array>
#include <vector>

#include "crypto/aead.hpp"
#include "fuzz/fuzz_support.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;

void check_datagram(Bytes datagram, std::size_t id_length, std::uint64_t expected) {
  const auto header = decode_session_header(datagram, id_length);
  if (!header) return;
  require(classify(std::to_integer<std::uint8_t>(datagram[0])) == DatagramKind::kSession);
  require(header->size == session_header_size(id_length) && datagram.size() > header->size + kTagSize);

  const auto id = ConnectionId::from(header->connection_id);
  require(id.has_value());
  std::array<std::byte, kMaxSessionHeaderSize> again{};
  const std::uint64_t number = expand_packet_number(expected, header->truncated_packet_number);
  const std::size_t size = encode_session_header(again, header->epoch_bits, *id, number);
  require(fuzz::same(Bytes(again).first(size), datagram.first(header->size)));

  // The nearest: no other number with these low bits is closer.
  const std::uint64_t distance = number > expected ? number - expected : expected - number;
  const std::uint64_t window = std::uint64_t{1} << 32;
  const bool at_an_end = number < window || number > UINT64_MAX - window;
  require(distance <= window / 2 || at_an_end);

  const PacketKey key;
  std::vector<std::byte> sealed(datagram.begin(), datagram.end());
  require(
      !key.open_in_place(number, datagram.first(header->size), MutableBytes(sealed).subspan(header->size)));
}

void check_round_trip(Bytes frames, std::size_t id_length, std::uint64_t packet_number) {
  const PacketKey key;
  std::array<std::byte, ConnectionId::kMax> id_bytes{};
  const auto id = ConnectionId::from(Bytes(id_bytes).first(id_length));
  require(id.has_value());
  std::vector<std::byte> datagram(session_header_size(id_length) + frames.size() + kTagSize);
  const std::size_t header = encode_session_header(datagram, 0, *id, packet_number);
  std::copy(frames.begin(), frames.end(), datagram.begin() + static_cast<std::ptrdiff_t>(header));
  const Bytes associated_data = Bytes(datagram).first(header);
  const MutableBytes body = MutableBytes(datagram).subspan(header);
  key.seal_in_place(packet_number, associated_data, body);
  require(decode_session_header(datagram, id_length).has_value() == !frames.empty());
  require(key.open_in_place(packet_number, associated_data, body));
  require(fuzz::same(Bytes(body).first(frames.size()), frames));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(fuzz::input(data, size));
  const std::size_t id_length =
      ConnectionId::kMin + reader.u8() % (ConnectionId::kMax - ConnectionId::kMin + 1);
  const std::uint64_t expected = reader.u64();
  if (!reader.ok()) return 0;
  const Bytes rest = reader.rest();
  check_datagram(rest, id_length, expected);
  check_round_trip(rest, id_length, expected);
  return 0;
}
