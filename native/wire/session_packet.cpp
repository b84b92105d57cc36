#include "wire/session_packet.hpp"

#include <cassert>

#include "wire/handshake_packets.hpp"

namespace hawser {

std::size_t encode_session_header(MutableBytes out, std::uint32_t epoch, const ConnectionId& id,
                                  std::uint64_t packet_number) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(kSessionByte | ((epoch & 3U) << 2U)));
  writer.bytes(id.view());
  writer.u32(static_cast<std::uint32_t>(packet_number));
  assert(writer.ok());
  return writer.position();
}

std::optional<SessionHeader> decode_session_header(Bytes datagram, std::size_t id_length) {
  if (datagram.size() <= kSessionOverhead + id_length) return std::nullopt;
  ByteReader reader(datagram);
  const std::uint8_t first = reader.u8();
  if (classify(first) != DatagramKind::kSession) return std::nullopt;
  const Bytes id = reader.bytes(id_length);
  const std::uint32_t packet_number = reader.u32();
  return SessionHeader{static_cast<std::uint8_t>((first >> 2U) & 3U), id, packet_number, reader.position()};
}

}  // namespace hawser
