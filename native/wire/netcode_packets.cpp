#include "wire/netcode_packets.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace hawser::netcode {

namespace {

constexpr unsigned kTypeMask = 0x0f;
constexpr unsigned kSequenceShift = 4;
constexpr std::size_t kMaxSequenceSize = 8;

// A sequence number of any allowed size is read and written as eight bytes: there is always room for them.
static_assert(kMinPacketSize >= 1 + kMaxSequenceSize);
static_assert(kMaxHeaderSize == 1 + kMaxSequenceSize);

}  // namespace

// ---- REQUEST

void encode_request(std::span<std::byte, kRequestSize> out, const PublicToken& token) {
  ByteWriter writer(out);
  writer.u8(0);
  writer.bytes(kVersionInfo);
  writer.u64(token.protocol_id);
  writer.u64(token.expire);
  writer.bytes(token.nonce);
  writer.bytes(token.sealed_private);
  assert(writer.ok() && writer.remaining() == 0);
}

Result<RequestView, RequestError> parse_request(Bytes datagram) {
  if (datagram.size() != kRequestSize) return Failure{RequestError::kLength};
  assert(datagram[0] == std::byte{0});
  constexpr std::size_t kProtocolIdOffset = 1 + kVersionSize;
  constexpr std::size_t kNonceOffset = kProtocolIdOffset + 8 + 8;
  if (!is_token(datagram.subspan(1))) return Failure{RequestError::kVersion};
  return RequestView{load_little_endian<std::uint64_t>(datagram.data() + kProtocolIdOffset),
                     load_little_endian<std::uint64_t>(datagram.data() + kProtocolIdOffset + 8),
                     datagram.subspan<kNonceOffset, kNonceSize>(),
                     datagram.subspan<kNonceOffset + kNonceSize, kSealedPrivateTokenSize>()};
}

// ---- The encrypted packets

Result<PacketHeader, PacketError> parse_header(Bytes datagram, PacketTypes taken) {
  if (datagram.size() < kMinPacketSize) return Failure{PacketError::kLength};
  const auto prefix = std::to_integer<std::uint8_t>(datagram[0]);
  const unsigned type = prefix & kTypeMask;
  if (type >= kPacketTypes) return Failure{PacketError::kType};
  const auto packet_type = static_cast<PacketType>(type);
  if ((taken & set_of(packet_type)) == 0) return Failure{PacketError::kRole};
  const std::size_t bytes = prefix >> kSequenceShift;
  if (bytes < 1 || bytes > kMaxSequenceSize) return Failure{PacketError::kSequence};
  if (datagram.size() < 1 + bytes + kTagSize) return Failure{PacketError::kLength};
  const std::uint64_t sequence = load_little_endian<std::uint64_t>(datagram.data() + 1) &
                                 (UINT64_MAX >> (8 * (kMaxSequenceSize - bytes)));
  return PacketHeader{packet_type, prefix, static_cast<std::uint8_t>(1 + bytes), sequence};
}

AssociatedData::AssociatedData(std::uint64_t protocol_id) {
  ByteWriter writer(bytes_);
  writer.bytes(kVersionInfo);
  writer.u64(protocol_id);
}

std::array<std::byte, AssociatedData::kSize> AssociatedData::with(std::uint8_t prefix) const {
  auto bytes = bytes_;
  bytes.back() = static_cast<std::byte>(prefix);
  return bytes;
}

std::size_t sequence_size(std::uint64_t sequence) {
  return (static_cast<std::size_t>(std::bit_width(sequence | 1)) + 7) / 8;
}

std::size_t seal_packet(MutableBytes out, PacketType type, std::uint64_t sequence, Bytes body,
                        const PacketKey& key, const AssociatedData& associated_data) {
  assert(type != PacketType::kRequest && is_body_size(type, body.size()));
  assert(out.size() >= kMaxHeaderSize + body.size() + kTagSize);
  const std::size_t bytes = sequence_size(sequence);
  const auto prefix = static_cast<std::uint8_t>((bytes << kSequenceShift) | static_cast<unsigned>(type));
  out[0] = static_cast<std::byte>(prefix);
  store_little_endian(out.data() + 1, sequence);
  const MutableBytes sealed = out.subspan(1 + bytes, body.size() + kTagSize);
  if (!body.empty()) std::memcpy(sealed.data(), body.data(), body.size());
  key.seal_in_place(sequence, associated_data.with(prefix), sealed);
  return 1 + bytes + sealed.size();
}

std::optional<Bytes> open_packet(MutableBytes datagram, const PacketHeader& header, const PacketKey& key,
                                 const AssociatedData& associated_data) {
  assert(datagram.size() >= header.size + kTagSize);
  const MutableBytes sealed = datagram.subspan(header.size);
  if (!key.open_in_place(header.sequence, associated_data.with(header.prefix), sealed)) return std::nullopt;
  return Bytes(sealed).first(sealed.size() - kTagSize);
}

bool is_body_size(PacketType type, std::size_t size) {
  switch (type) {
    case PacketType::kRequest:
      return size == kRequestSize - 1;
    case PacketType::kDenied:
    case PacketType::kDisconnect:
      return size == 0;
    case PacketType::kChallenge:
    case PacketType::kResponse:
      return size == kChallengeBodySize;
    case PacketType::kKeepAlive:
      return size == kKeepAliveBodySize;
    case PacketType::kPayload:
      return size >= 1 && size <= kMaxPayloadSize;
  }
  return false;
}

void encode_challenge(std::span<std::byte, kChallengeBodySize> out, const ChallengeBody& body) {
  store_little_endian(out.data(), body.sequence);
  std::ranges::copy(body.token, out.begin() + 8);
}

ChallengeBody decode_challenge(std::span<const std::byte, kChallengeBodySize> body) {
  ChallengeBody result;
  result.sequence = load_little_endian<std::uint64_t>(body.data());
  std::ranges::copy(body.subspan<8>(), result.token.begin());
  return result;
}

std::array<std::byte, kKeepAliveBodySize> encode_keep_alive(const KeepAliveBody& body) {
  std::array<std::byte, kKeepAliveBodySize> bytes{};
  store_little_endian(bytes.data(), body.client_index);
  store_little_endian(bytes.data() + 4, body.max_clients);
  return bytes;
}

KeepAliveBody decode_keep_alive(std::span<const std::byte, kKeepAliveBodySize> body) {
  return {load_little_endian<std::uint32_t>(body.data()), load_little_endian<std::uint32_t>(body.data() + 4)};
}

}  // namespace hawser::netcode
