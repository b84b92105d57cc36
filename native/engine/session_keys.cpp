// The keys of a connected peer: their update (docs/protocol.md section 13), driven by engine/key_update.hpp.
#include <array>
#include <memory>
#include <utility>

#include "engine/endpoint.hpp"

namespace hawser {

namespace {

std::byte type_byte(FrameType type) { return static_cast<std::byte>(type); }

}  // namespace

KeyUpdateStart Endpoint::update_keys(Handle handle, const InjectedSecret* secret, Instant now) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected) return KeyUpdateStart::kNotConnected;
  if ((peer->features & kFeatureKeyUpdate) == 0) return KeyUpdateStart::kUnsupported;
  if (secret != nullptr && secret->id == kNoSecretId) return KeyUpdateStart::kInvalidSecret;
  return begin_key_update(*peer, secret, now) ? KeyUpdateStart::kBegun : KeyUpdateStart::kBusy;
}

bool Endpoint::begin_key_update(Peer& peer, const InjectedSecret* secret, Instant now) {
  if (!KeyUpdate::may_begin(peer.keys, peer.key_update.get()) || peer.control.size() == ControlFrames::kMax)
    return false;
  const auto frame = key_update_of(peer).begin(peer.keys, random_, secret);
  if (send_control(peer, frame)) return true;
  // The pool of control frames has room for kMax of each peer.
  fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
  return false;
}

void Endpoint::provide_secret(Handle handle, const SecretId& id, std::optional<Key> secret, Instant now) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected || !peer->key_update) return;
  if (peer->key_update->provide(id, std::move(secret))) proceed_key_update(*peer, now);
}

KeyUpdate& Endpoint::key_update_of(Peer& peer) const {
  if (!peer.key_update) peer.key_update = std::make_unique<KeyUpdate>(options_.mode == Mode::kServer);
  return *peer.key_update;
}

// Updates the keys when they have been in use for long enough.
void Endpoint::update_worn_keys(Peer& peer, Instant now) {
  const SessionKeys& keys = peer.keys;
  if (peer.next_packet_number - keys.first_packet < options_.packets_per_key &&
      now - keys.since < options_.time_per_key) {
    return;
  }
  if ((peer.features & kFeatureKeyUpdate) != 0 && peer.phase == PeerPhase::kConnected)
    static_cast<void>(begin_key_update(peer, nullptr, now));
}

bool Endpoint::process_key_update(Peer& peer, const Frame& frame, Instant now) {
  if ((peer.features & kFeatureKeyUpdate) == 0) return false;
  acknowledge(peer, now);
  KeyUpdate& update = key_update_of(peer);
  switch (frame.type) {
    case FrameType::kKeyUpdate:
      return take_step(peer, update.on_update(frame.key_update, peer.keys, random_, now, events_.has_room()),
                       now);
    case FrameType::kKeyUpdateReply:
      return take_step(peer, update.on_reply(frame.key_update, peer.keys), now);
    default:
      return take_step(peer, update.on_refused(frame.key_update_refused, peer.keys), now);
  }
}

// A packet has opened while an update is under way.
void Endpoint::key_opened(Peer& peer, const ReceiveKey& key, Instant now) {
  const Duration keep = 3 * Recovery::probe_timeout(peer.round_trip);
  static_cast<void>(take_step(peer, peer.key_update->on_opened(key, peer.keys, now, keep), now));
}

// Goes on with what has waited.
void Endpoint::proceed_key_update(Peer& peer, Instant now) {
  if (!take_step(peer, peer.key_update->proceed(peer.keys, random_, now, events_.has_room()), now))
    fail(peer, DisconnectResult::kProtocolError, DisconnectCode::kProtocolError, now);
}

// False when the other side broke a rule.
bool Endpoint::take_step(Peer& peer, KeyUpdateStep step, Instant now) {
  KeyUpdate& update = *peer.key_update;
  switch (step) {
    case KeyUpdateStep::kNothing:
      break;
    case KeyUpdateStep::kViolation:
      return false;
    case KeyUpdateStep::kRoomWanted:
      // One update after the other would be more news than can be kept for a peer.
      tell_later(peer);
      break;
    case KeyUpdateStep::kSecretWanted:
      put_event(peer, EventKind::kSecretWanted, 0, update.wanted());
      break;
    case KeyUpdateStep::kSuperseded:
      put_event(peer, EventKind::kKeyUpdateRefused, kKeyUpdateSuperseded, {});
      [[fallthrough]];
    case KeyUpdateStep::kReplied:
      peer.control.discard(control_pool_, type_byte(FrameType::kKeyUpdate));
      [[fallthrough]];
    case KeyUpdateStep::kRefused:
      // Whoever tries again has seen that the last try was refused.
      peer.control.discard(control_pool_, type_byte(FrameType::kKeyUpdateRefused));
      if (!send_control(peer, update.answer())) {
        fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
        return true;
      }
      break;
    case KeyUpdateStep::kSwitched:
      keys_switched(peer, now);
      break;
    case KeyUpdateStep::kGivenUp:
      counters_.add(Counter::keyUpdatesRefused);
      peer.control.discard(control_pool_, type_byte(FrameType::kKeyUpdate));
      put_event(peer, EventKind::kKeyUpdateRefused, update.refusal(), {});
      return take_step(peer, update.proceed(peer.keys, random_, now, events_.has_room()), now);
  }
  if (update.idle()) peer.key_update.reset();
  if (peer.phase == PeerPhase::kConnected) schedule(peer);
  return true;
}

void Endpoint::keys_switched(Peer& peer, Instant now) {
  peer.keys.first_packet = peer.next_packet_number;
  peer.keys.since = now;
  if (peer.phase != PeerPhase::kConnected) return;
  counters_.add(Counter::keyUpdates);
  // Both have what these were for.
  peer.control.discard(control_pool_, type_byte(FrameType::kKeyUpdate));
  peer.control.discard(control_pool_, type_byte(FrameType::kKeyUpdateReply));
  // The other side waits for the first packet under the new key.
  peer.ping_due = true;
  mark_dirty(peer);
  std::array<std::byte, 4> epoch{};
  store_little_endian(epoch.data(), peer.keys.epoch);
  const KeyUpdate& update = *peer.key_update;
  put_event(peer, EventKind::kKeyUpdated, update.begun_by_other() ? 1 : 0, epoch, update.mixed_in());
}

}  // namespace hawser
