#include "engine/key_update.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace hawser {

namespace {

std::array<std::byte, kKeyUpdateFrameSize> update_bytes(const KeyUpdateFrame& frame) {
  std::array<std::byte, kKeyUpdateFrameSize> bytes{};
  ByteWriter writer(bytes);
  const bool written = write_key_update(writer, frame, false);
  assert(written && writer.remaining() == 0);
  static_cast<void>(written);
  return bytes;
}

std::array<std::byte, kKeyUpdateReplyFrameSize> reply_bytes(const KeyUpdateFrame& frame) {
  std::array<std::byte, kKeyUpdateReplyFrameSize> bytes{};
  ByteWriter writer(bytes);
  const bool written = write_key_update(writer, frame, true);
  assert(written && writer.remaining() == 0);
  static_cast<void>(written);
  return bytes;
}

UpdateContext context_of(const KeyUpdateFrame& update) {
  return UpdateContext{update.epoch, update.sequence, update.secret_id};
}

bool has_secret(const KeyUpdateFrame& update) { return update.secret_id != kNoSecretId; }

}  // namespace

SessionKeys SessionKeys::derive(Prk&& prk, bool server, std::uint32_t epoch) {
  SessionKeys keys;
  keys.send = packet_key(prk, server ? Direction::kServerToClient : Direction::kClientToServer, epoch);
  keys.receive.key = packet_key(prk, server ? Direction::kClientToServer : Direction::kServerToClient, epoch);
  keys.epoch = epoch;
  keys.prk = std::move(prk);
  return keys;
}

bool KeyUpdate::may_begin(const SessionKeys& keys, const KeyUpdate* update) {
  constexpr std::uint32_t kLast = std::numeric_limits<std::uint32_t>::max();
  return (update == nullptr || update->idle()) && keys.epoch < kLast && keys.updates_sent < kLast;
}

std::array<std::byte, kKeyUpdateFrameSize> KeyUpdate::begin(SessionKeys& keys, RandomSource& random,
                                                            const InjectedSecret* secret) {
  assert(may_begin(keys, this));
  assert(secret == nullptr || secret->id != kNoSecretId);
  OwnKeyUpdate& own = own_.emplace();
  own.share = KeyPair::generate(random);
  own.frame.epoch = keys.epoch + 1;
  own.frame.sequence = keys.updates_sent++;
  own.frame.share = own.share.share;
  own.frame.secret_id = secret != nullptr ? secret->id : kNoSecretId;
  if (secret != nullptr) own.secret = Key(secret->key.bytes());
  const Key mac_key = secret != nullptr ? Key(secret->key.bytes()) : update_key(keys.prk);
  own.frame.mac = update_mac(mac_key, direction(server_), context_of(own.frame), own.frame.share, {});
  return update_bytes(own.frame);
}

KeyUpdateStep KeyUpdate::on_update(const KeyUpdateFrame& frame, SessionKeys& keys, RandomSource& random,
                                   Instant now, bool room) {
  if (frame.epoch <= keys.epoch) return KeyUpdateStep::kNothing;
  if (frame.epoch != keys.epoch + 1) return KeyUpdateStep::kViolation;
  if (frame.sequence == std::numeric_limits<std::uint32_t>::max()) return KeyUpdateStep::kViolation;
  if (frame.sequence < keys.updates_seen) return KeyUpdateStep::kNothing;
  if (incoming_ || next_) return KeyUpdateStep::kViolation;
  keys.updates_seen = frame.sequence + 1;
  incoming_.emplace().frame = frame;
  return proceed(keys, random, now, room);
}

KeyUpdateStep KeyUpdate::proceed(SessionKeys& keys, RandomSource& random, Instant now, bool room) {
  if (previous_ && now >= previous_->erase_at) previous_.reset();
  if (!incoming_ || previous_ || (server_ && own_)) return KeyUpdateStep::kNothing;
  // Once its user has been asked for the secret, it has an end.
  if (!room && incoming_->deadline == kNever) return KeyUpdateStep::kRoomWanted;
  if (!has_secret(incoming_->frame)) {
    const Key mac_key = update_key(keys.prk);
    if (!verifies(incoming_->frame, mac_key)) return KeyUpdateStep::kViolation;
    return reply(keys, random, Key(), mac_key);
  }
  if (incoming_->answered) {
    if (!incoming_->secret) return refuse(KeyUpdateRefusal::kUnknownSecret);
    if (!verifies(incoming_->frame, *incoming_->secret)) return refuse(KeyUpdateRefusal::kDifferentSecret);
    const Key secret = std::move(*incoming_->secret);
    return reply(keys, random, secret, secret);
  }
  if (incoming_->deadline == kNever) {
    incoming_->deadline = now + kSecretPatience;
    return KeyUpdateStep::kSecretWanted;
  }
  return now >= incoming_->deadline ? refuse(KeyUpdateRefusal::kUnavailable) : KeyUpdateStep::kNothing;
}

bool KeyUpdate::provide(const SecretId& id, std::optional<Key> secret) {
  if (!incoming_ || incoming_->deadline == kNever || incoming_->answered || incoming_->frame.secret_id != id)
    return false;
  incoming_->answered = true;
  incoming_->secret = std::move(secret);
  incoming_->deadline = Instant();
  return true;
}

bool KeyUpdate::verifies(const KeyUpdateFrame& update, const Key& mac_key) const {
  return constant_time_equal(update.mac,
                             update_mac(mac_key, direction(!server_), context_of(update), update.share, {}));
}

KeyUpdateStep KeyUpdate::reply(SessionKeys& keys, RandomSource& random, const Key& secret,
                               const Key& mac_key) {
  const KeyUpdateFrame& update = incoming_->frame;
  const KeyPair share = KeyPair::generate(random);
  Secret<32> shared;
  if (!x25519(shared, share.secret, update.share)) return KeyUpdateStep::kViolation;
  const Hash128 mac = update_mac(mac_key, direction(server_), context_of(update), update.share, share.share);
  answer_ = reply_bytes(KeyUpdateFrame{update.epoch, 0, share.share, kNoSecretId, mac});
  answer_size_ = kKeyUpdateReplyFrameSize;
  next_ =
      SessionKeys::derive(updated_prk(keys.prk, update.epoch, shared, secret, update_bytes(update), answer_),
                          server_, update.epoch);
  mixed_in_ = update.secret_id;
  begun_by_other_ = true;
  incoming_.reset();
  const bool superseded = own_ && has_secret(own_->frame);
  own_.reset();
  return superseded ? KeyUpdateStep::kSuperseded : KeyUpdateStep::kReplied;
}

KeyUpdateStep KeyUpdate::refuse(KeyUpdateRefusal reason) {
  ByteWriter writer(answer_);
  const bool written = write_key_update_refused(
      writer, KeyUpdateRefusedFrame{incoming_->frame.sequence, static_cast<std::uint8_t>(reason)});
  assert(written);
  static_cast<void>(written);
  answer_size_ = kKeyUpdateRefusedFrameSize;
  incoming_.reset();
  return KeyUpdateStep::kRefused;
}

KeyUpdateStep KeyUpdate::on_reply(const KeyUpdateFrame& frame, SessionKeys& keys) {
  if (frame.epoch <= keys.epoch) return KeyUpdateStep::kNothing;
  if (!own_ || frame.epoch != own_->frame.epoch) return KeyUpdateStep::kViolation;
  const KeyUpdateFrame& update = own_->frame;
  const Key mac_key = has_secret(update) ? Key(own_->secret.bytes()) : update_key(keys.prk);
  const Hash128 expected =
      update_mac(mac_key, direction(!server_), context_of(update), update.share, frame.share);
  if (!constant_time_equal(frame.mac, expected)) return KeyUpdateStep::kViolation;
  Secret<32> shared;
  if (!x25519(shared, own_->share.secret, frame.share)) return KeyUpdateStep::kViolation;
  replace(keys, SessionKeys::derive(updated_prk(keys.prk, frame.epoch, shared, own_->secret,
                                                update_bytes(update), reply_bytes(frame)),
                                    server_, frame.epoch));
  mixed_in_ = update.secret_id;
  begun_by_other_ = false;
  own_.reset();
  // What waited was for this epoch too.
  incoming_.reset();
  return KeyUpdateStep::kSwitched;
}

KeyUpdateStep KeyUpdate::on_refused(const KeyUpdateRefusedFrame& frame, const SessionKeys& keys) {
  if (frame.sequence >= keys.updates_sent) return KeyUpdateStep::kViolation;
  if (!own_ || frame.sequence != own_->frame.sequence) return KeyUpdateStep::kNothing;
  if (!has_secret(own_->frame)) return KeyUpdateStep::kViolation;
  own_.reset();
  refusal_ = frame.reason;
  return KeyUpdateStep::kGivenUp;
}

void KeyUpdate::replace(SessionKeys& keys, SessionKeys&& by) {
  previous_.emplace().receive = std::move(keys.receive);
  by.updates_sent = keys.updates_sent;
  by.updates_seen = keys.updates_seen;
  keys = std::move(by);
}

ReceiveKey* KeyUpdate::receive_key(std::uint8_t epoch_bits, const SessionKeys& keys) {
  if (next_ && epoch_bits == ((keys.epoch + 1) & 3U)) return &next_->receive;
  if (previous_ && epoch_bits == ((keys.epoch - 1) & 3U)) return &previous_->receive;
  return nullptr;
}

KeyUpdateStep KeyUpdate::on_opened(const ReceiveKey& key, SessionKeys& keys, Instant now, Duration keep) {
  if (next_ && &key == &next_->receive) {
    SessionKeys by = std::move(*next_);
    next_.reset();
    replace(keys, std::move(by));
    previous_->erase_at = now + keep;
    return KeyUpdateStep::kSwitched;
  }
  if (previous_ && &key == &keys.receive && previous_->erase_at == kNever) previous_->erase_at = now + keep;
  return KeyUpdateStep::kNothing;
}

Instant KeyUpdate::deadline() const {
  Instant earliest = kNever;
  if (previous_) earliest = previous_->erase_at;
  // Of what waits behind `previous` or this side's own, or for room, nobody has been asked anything yet.
  if (incoming_) earliest = std::min(earliest, incoming_->deadline);
  return earliest;
}

}  // namespace hawser
