// Every derived key, hash and MAC of docs/protocol.md sections 2 to 4 and 12.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/secret.hpp"

namespace hawser {

enum class Direction : std::uint8_t { kClientToServer = 0, kServerToClient = 1 };

// Names one token: BLAKE2b-256 of its sealed private part.
using TokenId = Hash256;
using CookieMac = Hash128;
using ResetToken = Hash128;
using ResetTokenView = std::span<const std::byte, 16>;
using Prk = Secret<64>;
using Salt = std::array<std::byte, kSaltSize>;

// The keys that seal the handshake's datagrams, one per kind (section 2). A gateway, which needs one or two
// of them for a datagram and keeps nothing, derives just those.
[[nodiscard]] Key challenge_key(const Key& server_to_client);
[[nodiscard]] Key denied_key(const Key& server_to_client);
[[nodiscard]] Key accept_key(const Key& server_to_client);
[[nodiscard]] Key response_key(const Key& client_to_server);

// All four, which a client keeps.
struct HandshakeKeys {
  Key challenge;
  Key denied;
  Key accept;
  Key response;

  [[nodiscard]] static HandshakeKeys from(const Key& client_to_server, const Key& server_to_client);
};

[[nodiscard]] TokenId token_id(Bytes sealed_private);

// What ACCEPT is bound to: BLAKE2b-256 of the whole RESPONSE datagram (section 3).
[[nodiscard]] Hash256 response_hash(Bytes response_datagram);

// `th` of section 4. `challenge_plaintext` is cookie[21] || server share[32].
[[nodiscard]] Hash256 transcript(Bytes response_datagram, Bytes challenge_plaintext, Bytes accept_datagram);

// `prk` of section 4.
[[nodiscard]] Prk session_prk(const Key& client_to_server, const Key& server_to_client,
                              const Secret<32>& x25519_result, std::span<const std::byte, 32> accept_random,
                              const Hash256& transcript_hash);

// `key` and `salt` of section 4, and what packets are sealed with: both at once.
[[nodiscard]] Key traffic_key(const Prk& prk, Direction direction, std::uint32_t epoch);
[[nodiscard]] Salt traffic_salt(const Prk& prk, Direction direction, std::uint32_t epoch);
[[nodiscard]] PacketKey packet_key(const Prk& prk, Direction direction, std::uint32_t epoch);

// `exporter` of section 4; taken at epoch 0 and kept for the connection.
[[nodiscard]] Key exporter_secret(const Prk& prk);
// `exportKey(label)`: a key for layers above. The label is 1 to 255 bytes of UTF-8 (the caller checks).
[[nodiscard]] Key export_key(const Key& exporter, std::string_view label);

// ---- key update (section 13)

// `update key`: what the MACs of an update without an injected secret are keyed with.
[[nodiscard]] Key update_key(const Prk& prk);
// What the MACs of the two frames cover before the shares; epoch, sequence and secret id are those of the
// KEY_UPDATE.
struct UpdateContext {
  std::uint32_t epoch = 0;  // the new one
  std::uint32_t sequence = 0;
  Hash128 secret_id{};
};
// `key`: the injected secret or update_key(); `sender`: the direction in which the frame goes.
// `responder_share` is empty for KEY_UPDATE.
[[nodiscard]] Hash128 update_mac(const Key& key, Direction sender, const UpdateContext& context,
                                 ShareView initiator_share, Bytes responder_share);
// `prk'`. `secret` is zeros when none is injected; the frames begin with their types.
[[nodiscard]] Prk updated_prk(const Prk& prk, std::uint32_t epoch, const Secret<32>& x25519_result,
                              const Key& secret, Bytes update_frame, Bytes reply_frame);
// The id that an injected secret has when its user gives none.
[[nodiscard]] Hash128 default_secret_id(std::span<const std::byte, 32> secret);

// The MAC of a cookie (section 3, CHALLENGE). `time` is milliseconds of the gateway's monotonic clock,
// `index` names the record whose key this is, `source` is normalised, `token_tag` is the tag of the token's
// sealed private part.
[[nodiscard]] CookieMac cookie_mac(const Key& cookie_key, std::uint32_t time, std::uint8_t index,
                                   const SocketAddress& source, TagView token_tag, ShareView client_share,
                                   ShareView server_share);

// The token that makes a RESET for this connection id believed (section 3, RESET). 4 to 16 bytes of id,
// without padding.
[[nodiscard]] ResetToken reset_token(const Key& reset_key, Bytes connection_id);

// One declared channel, as the digest takes it.
struct ChannelDigestEntry {
  std::uint8_t mode;                // 0 to 3
  std::uint32_t max_message_bytes;  // 0 for an unreliable one
  std::string_view name;            // 1 to 64 bytes
  std::string_view codec;           // 0 to 64 bytes
};

// What both sides' declarations are compared by (section 12). `channels`: at most 1,024, by number.
// Allocates: for whoever starts, not for each connection.
[[nodiscard]] Hash128 channels_digest(std::span<const ChannelDigestEntry> channels);

}  // namespace hawser
