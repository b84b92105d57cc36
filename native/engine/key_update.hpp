// Key update (docs/protocol.md section 13) as a state machine: frames in, frames and keys out. It knows
// neither packets nor peers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "wire/frames.hpp"

namespace hawser {

struct ReceiveKey {
  PacketKey key;
  std::uint64_t failed_opens = 0;
};

// The keys of one connection, whether or not they are being updated.
struct SessionKeys {
  ReceiveKey receive;
  PacketKey send;
  std::uint64_t first_packet = 0;  // the least number that may be sealed under `send`
  Instant since{};                 // when `send` came into use
  std::uint32_t epoch = 0;
  std::uint32_t updates_sent = 0;  // KEY_UPDATEs of this side: the sequence of the next
  std::uint32_t updates_seen = 0;  // one above the highest sequence of the other side's
  Prk prk;

  [[nodiscard]] static SessionKeys derive(Prk&& prk, bool server, std::uint32_t epoch);
};

// A secret that both sides have from elsewhere, and its name, which is not zeros.
struct InjectedSecret {
  SecretId id{};
  Key key;
};

// What follows from a call of KeyUpdate.
enum class KeyUpdateStep : std::uint8_t {
  kNothing,
  kViolation,     // the other side broke a rule
  kRoomWanted,    // proceed() is to be called when there is room
  kSecretWanted,  // provide() is to be called with the secret named wanted(), or with none
  kReplied,       // answer() is to be sent reliably, in place of any KEY_UPDATE of this side
  kSuperseded,    // likewise; that KEY_UPDATE had a secret, which will now not be used
  kRefused,       // answer() is to be sent reliably: the other side's update is over
  kSwitched,      // the new keys are in `keys`, both ways
  kGivenUp,       // the other side refused this side's update: refusal()
};

// A KEY_UPDATE of this side that is not answered yet.
struct OwnKeyUpdate {
  KeyUpdateFrame frame;
  KeyPair share;
  Key secret;
};
// One of the other side that is not answered yet.
struct IncomingKeyUpdate {
  KeyUpdateFrame frame;
  Instant deadline = kNever;  // of the user's answer, once asked
  bool answered = false;
  std::optional<Key> secret;
};
// The key of the epoch before the current one. Its end is known once the current one has opened a packet.
struct PreviousKey {
  ReceiveKey receive;
  Instant erase_at = kNever;
};

// One connection's updates, from the first frame until `previous` is erased.
class KeyUpdate {
 public:
  static constexpr Duration kSecretPatience = std::chrono::seconds(5);

  explicit KeyUpdate(bool server) : server_(server) {}

  // Whether a side with these keys may begin an update now. `update` is null when none is under way.
  [[nodiscard]] static bool may_begin(const SessionKeys& keys, const KeyUpdate* update);

  // Begins one, with a secret or without: the KEY_UPDATE to be sent reliably. Only when may_begin().
  [[nodiscard]] std::array<std::byte, kKeyUpdateFrameSize> begin(SessionKeys& keys, RandomSource& random,
                                                                 const InjectedSecret* secret);

  // The three frames. After kGivenUp, proceed() is called. `room`: the user can be told what comes of it; a
  // KEY_UPDATE that finds none waits.
  [[nodiscard]] KeyUpdateStep on_update(const KeyUpdateFrame& frame, SessionKeys& keys, RandomSource& random,
                                        Instant now, bool room = true);
  [[nodiscard]] KeyUpdateStep on_reply(const KeyUpdateFrame& frame, SessionKeys& keys);
  [[nodiscard]] KeyUpdateStep on_refused(const KeyUpdateRefusedFrame& frame, const SessionKeys& keys);

  // Keeps what the user answered to kSecretWanted, nothing for "unknown", for the next proceed(). Whether
  // anybody still waits for the secret of that id.
  bool provide(const SecretId& id, std::optional<Key> secret);

  // Goes on with what waits: to be called when deadline() has passed and where said above.
  [[nodiscard]] KeyUpdateStep proceed(SessionKeys& keys, RandomSource& random, Instant now, bool room = true);

  // The key beside keys.receive whose epoch has these low two bits; null when there is none.
  [[nodiscard]] ReceiveKey* receive_key(std::uint8_t epoch_bits, const SessionKeys& keys);
  // A packet has opened under that key: keys.receive or what receive_key() gave. `keep`: 3 PTO. kSwitched or
  // kNothing.
  [[nodiscard]] KeyUpdateStep on_opened(const ReceiveKey& key, SessionKeys& keys, Instant now, Duration keep);

  [[nodiscard]] const SecretId& wanted() const { return incoming_->frame.secret_id; }
  [[nodiscard]] Bytes answer() const { return Bytes(answer_).first(answer_size_); }
  [[nodiscard]] std::uint8_t refusal() const { return refusal_; }
  // After kSwitched: the secret that was mixed in, zeros for none, and whether the other side began the
  // update.
  [[nodiscard]] const SecretId& mixed_in() const { return mixed_in_; }
  [[nodiscard]] bool begun_by_other() const { return begun_by_other_; }
  // When proceed() has something to do; kNever when it waits for frames or packets only.
  [[nodiscard]] Instant deadline() const;
  // Nothing is under way: this may be thrown away.
  [[nodiscard]] bool idle() const { return !own_ && !incoming_ && !next_ && !previous_; }

 private:
  [[nodiscard]] Direction direction(bool of_server) const {
    return of_server ? Direction::kServerToClient : Direction::kClientToServer;
  }
  [[nodiscard]] bool verifies(const KeyUpdateFrame& update, const Key& mac_key) const;
  [[nodiscard]] KeyUpdateStep reply(SessionKeys& keys, RandomSource& random, const Key& secret,
                                    const Key& mac_key);
  [[nodiscard]] KeyUpdateStep refuse(KeyUpdateRefusal reason);
  void replace(SessionKeys& keys, SessionKeys&& by);

  bool server_;
  std::optional<OwnKeyUpdate> own_;
  std::optional<IncomingKeyUpdate> incoming_;
  // Installed for receiving; for sending with the first packet that opens under it.
  std::optional<SessionKeys> next_;
  std::optional<PreviousKey> previous_;
  SecretId mixed_in_{};
  bool begun_by_other_ = false;
  std::uint8_t refusal_ = 0;
  std::uint8_t answer_size_ = 0;
  std::array<std::byte, kKeyUpdateReplyFrameSize> answer_{};
};

}  // namespace hawser
