#include "crypto/key_schedule.hpp"

#include <algorithm>
#include <cassert>
#include <vector>

namespace hawser {

static_assert(static_cast<int>(SocketAddress::Family::kIpv4) == 1 &&
                  static_cast<int>(SocketAddress::Family::kIpv6) == 2,
              "the cookie's MAC covers the family as the wire numbers it");

namespace {

using U32Bytes = std::array<std::byte, 4>;

U32Bytes u32_bytes(std::uint32_t value) {
  U32Bytes bytes{};
  store_little_endian(bytes.data(), value);
  return bytes;
}

// u8 direction || u32 epoch.
std::array<std::byte, 5> key_context(Direction direction, std::uint32_t epoch) {
  std::array<std::byte, 5> context{};
  context[0] = static_cast<std::byte>(direction);
  store_little_endian(context.data() + 1, epoch);
  return context;
}

Key labelled_key(Bytes secret, Bytes label) {
  Key key;
  blake2b_256(key.mutable_bytes(), secret, {label});
  return key;
}

}  // namespace

Key challenge_key(const Key& server_to_client) {
  return labelled_key(server_to_client.bytes(), label_bytes("HAWSER 1 challenge"));
}
Key denied_key(const Key& server_to_client) {
  return labelled_key(server_to_client.bytes(), label_bytes("HAWSER 1 denied"));
}
Key accept_key(const Key& server_to_client) {
  return labelled_key(server_to_client.bytes(), label_bytes("HAWSER 1 accept"));
}
Key response_key(const Key& client_to_server) {
  return labelled_key(client_to_server.bytes(), label_bytes("HAWSER 1 response"));
}

HandshakeKeys HandshakeKeys::from(const Key& client_to_server, const Key& server_to_client) {
  return {challenge_key(server_to_client), denied_key(server_to_client), accept_key(server_to_client),
          response_key(client_to_server)};
}

TokenId token_id(Bytes sealed_private) { return blake2b_256({}, {sealed_private}); }

Hash256 response_hash(Bytes response_datagram) { return blake2b_256({}, {response_datagram}); }

Hash256 transcript(Bytes response_datagram, Bytes challenge_plaintext, Bytes accept_datagram) {
  const U32Bytes response_size = u32_bytes(static_cast<std::uint32_t>(response_datagram.size()));
  const U32Bytes challenge_size = u32_bytes(static_cast<std::uint32_t>(challenge_plaintext.size()));
  const U32Bytes accept_size = u32_bytes(static_cast<std::uint32_t>(accept_datagram.size()));
  return blake2b_256({}, {label_bytes("HAWSER 1 transcript"), response_size, response_datagram,
                          challenge_size, challenge_plaintext, accept_size, accept_datagram});
}

Prk session_prk(const Key& client_to_server, const Key& server_to_client, const Secret<32>& x25519_result,
                std::span<const std::byte, 32> accept_random, const Hash256& transcript_hash) {
  Secret<64> key;
  std::ranges::copy(client_to_server.bytes(), key.mutable_bytes().begin());
  std::ranges::copy(server_to_client.bytes(), key.mutable_bytes().begin() + 32);
  Prk prk;
  blake2b_512(prk.mutable_bytes(), key.bytes(),
              {label_bytes("HAWSER 1 prk"), x25519_result.bytes(), accept_random, transcript_hash});
  return prk;
}

Key traffic_key(const Prk& prk, Direction direction, std::uint32_t epoch) {
  Key key;
  blake2b_256(key.mutable_bytes(), prk.bytes(), {label_bytes("HAWSER 1 key"), key_context(direction, epoch)});
  return key;
}

Salt traffic_salt(const Prk& prk, Direction direction, std::uint32_t epoch) {
  return blake2b_128(prk.bytes(), {label_bytes("HAWSER 1 salt"), key_context(direction, epoch)});
}

PacketKey packet_key(const Prk& prk, Direction direction, std::uint32_t epoch) {
  return PacketKey::derive(traffic_key(prk, direction, epoch), traffic_salt(prk, direction, epoch));
}

Key exporter_secret(const Prk& prk) { return labelled_key(prk.bytes(), label_bytes("HAWSER 1 exporter")); }

Key export_key(const Key& exporter, std::string_view label) {
  assert(!label.empty() && label.size() <= 255);
  Key key;
  blake2b_256(key.mutable_bytes(), exporter.bytes(), {label_bytes("HAWSER 1 export"), bytes_of(label)});
  return key;
}

Key update_key(const Prk& prk) { return labelled_key(prk.bytes(), label_bytes("HAWSER 1 update key")); }

Hash128 update_mac(const Key& key, Direction sender, const UpdateContext& context, ShareView initiator_share,
                   Bytes responder_share) {
  return blake2b_128(key.bytes(),
                     {label_bytes("HAWSER 1 update mac"), key_context(sender, context.epoch),
                      u32_bytes(context.sequence), context.secret_id, initiator_share, responder_share});
}

Prk updated_prk(const Prk& prk, std::uint32_t epoch, const Secret<32>& x25519_result, const Key& secret,
                Bytes update_frame, Bytes reply_frame) {
  Prk next;
  blake2b_512(next.mutable_bytes(), prk.bytes(),
              {label_bytes("HAWSER 1 update"), u32_bytes(epoch), x25519_result.bytes(), secret.bytes(),
               update_frame, reply_frame});
  return next;
}

Hash128 default_secret_id(std::span<const std::byte, 32> secret) {
  return blake2b_128({}, {label_bytes("HAWSER 1 secret id"), secret});
}

CookieMac cookie_mac(const Key& cookie_key, std::uint32_t time, std::uint8_t index,
                     const SocketAddress& source, TagView token_tag, ShareView client_share,
                     ShareView server_share) {
  const std::array<std::byte, 1> index_byte{static_cast<std::byte>(index)};
  return blake2b_128(cookie_key.bytes(), {label_bytes("HAWSER 1 cookie"), u32_bytes(time), index_byte,
                                          source.to_bytes(), token_tag, client_share, server_share});
}

ResetToken reset_token(const Key& reset_key, Bytes connection_id) {
  return blake2b_128(reset_key.bytes(), {label_bytes("HAWSER 1 reset"), connection_id});
}

Hash128 channels_digest(std::span<const ChannelDigestEntry> channels) {
  assert(channels.size() <= 1024);
  std::size_t size = 2;
  for (const ChannelDigestEntry& channel : channels) size += 7 + channel.name.size() + channel.codec.size();
  std::vector<std::byte> declaration(size);
  ByteWriter writer(declaration);
  writer.u16(static_cast<std::uint16_t>(channels.size()));
  for (const ChannelDigestEntry& channel : channels) {
    assert(!channel.name.empty() && channel.name.size() <= 64 && channel.codec.size() <= 64);
    writer.u8(channel.mode);
    writer.u32(channel.max_message_bytes);
    writer.u8(static_cast<std::uint8_t>(channel.name.size()));
    writer.bytes(bytes_of(channel.name));
    writer.u8(static_cast<std::uint8_t>(channel.codec.size()));
    writer.bytes(bytes_of(channel.codec));
  }
  return blake2b_128({}, {label_bytes("HAWSER 1 channels"), writer.written()});
}

}  // namespace hawser
