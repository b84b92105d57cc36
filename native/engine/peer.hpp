#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.hpp"
#include "base/buffer_pool.hpp"
#include "base/prefetch.hpp"
#include "base/time.hpp"
#include "base/timing_wheel.hpp"
#include "crypto/aead.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/attempt_order.hpp"
#include "engine/clock_offset.hpp"
#include "engine/control_frames.hpp"
#include "engine/events.hpp"
#include "engine/key_update.hpp"
#include "engine/path_mtu.hpp"
#include "engine/path_validation.hpp"
#include "engine/peer_ceilings.hpp"
#include "engine/ping_record.hpp"
#include "engine/replay_window.hpp"
#include "engine/round_trip.hpp"
#include "engine/status_schedule.hpp"
#include "engine/token_history.hpp"
#include "engine/transfer.hpp"
#include "wire/connect_token.hpp"
#include "wire/connection_id.hpp"
#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"

namespace hawser {

struct Peer;

enum class PeerPhase : std::uint8_t {
  kRequesting,     // client: REQUEST goes out
  kResponding,     // client: RESPONSE goes out
  kConfirming,     // client: has keys, waits for the first session packet of the server
  kHalfOpen,       // server: has keys, waits for the first session packet of the client
  kConsuming,      // server: the user's token history is being asked
  kConnected,      //
  kDisconnecting,  // DISCONNECT goes out until acknowledged
  kLingering,      // the other side disconnected: its DISCONNECTs are still acknowledged
};

// The id in use and two spare ids (docs/protocol.md section 6, NEW_ID).
constexpr std::size_t kKnownIds = 3;

// An id that this side issued and the other has not retired.
struct IssuedId {
  std::uint32_t sequence = 0;
  ConnectionId id;
};

// An id that the other side issued.
struct ReceivedId {
  std::uint64_t sequence = 0;
  ConnectionId id;
};

// One place in the list of attempts that wait for datagrams from an address.
struct AwaitedAddress {
  Peer* peer = nullptr;
  AwaitedAddress* next = nullptr;
  AwaitedAddress* previous = nullptr;
  SocketAddress remote;
  // When the attempt's first REQUEST went there.
  Instant asked{};
  bool listed = false;
  bool denied = false;
};

// The state of a client until it is connected.
struct ClientAttempt {
  PublicToken token;
  TokenId token_id{};
  HandshakeKeys keys;
  KeyPair share;
  RequestDatagram request{};
  ResponseDatagram response{};
  Hash256 response_hash{};
  ChallengePlaintext challenge{};
  std::array<AwaitedAddress, kMaxTokenAddresses> awaited;
  // The address the present attempt began with (once a CHALLENGE has won: that one's), and how many have
  // joined since.
  std::size_t first_address = 0;
  std::size_t joined = 0;
  Instant overall_deadline{};
  Instant token_deadline{};
  Instant attempt_deadline = kNever;
  Instant next_send{};
  Instant next_join{};
  std::uint32_t denied_reason = 0;
  bool aborted = false;
};

// An opened packet that waits for the token's consumption, its number, and the id that it was sent to.
struct WaitingPacket {
  Buffer payload;
  std::uint64_t number;
  ConnectionId addressed;
};

// The state of a server until the peer is connected and the packets that waited for that are processed.
struct HalfOpen {
  AcceptDatagram accept{};
  TokenId token_id{};
  AttemptOrder order;
  Instant deadline{};
  std::size_t user_data_size = 0;
  std::array<std::byte, kPrivateVariableSize> user_data{};
  // The answer of the token's history, as long as there was no room to tell what follows from it.
  std::optional<ConsumeVerdict> verdict;
  std::vector<WaitingPacket> waiting;
  // How many of them have been processed.
  std::size_t processed = 0;
};

// Which sequences of the other side's ids were heard of: the highest and the 63 below it. A NEW_ID may come
// again after its id was given back.
class IdSequences {
 public:
  // Older ones count as heard of.
  [[nodiscard]] bool contains(std::uint64_t sequence) const {
    if (seen_ == 0 || sequence > highest_) return false;
    return highest_ - sequence >= 64 || ((seen_ >> (highest_ - sequence)) & 1U) != 0;
  }
  void insert(std::uint64_t sequence) {
    if (seen_ == 0 || sequence > highest_) {
      const std::uint64_t ahead = seen_ == 0 ? 0 : sequence - highest_;
      seen_ = ahead < 64 ? seen_ << ahead : 0;
      highest_ = sequence;
    }
    if (highest_ - sequence < 64) seen_ |= std::uint64_t{1} << (highest_ - sequence);
  }

 private:
  std::uint64_t highest_ = 0;
  std::uint64_t seen_ = 0;  // bit i: highest_ - i
};

// Challenges that a client answers in one turn: one for each of two paths.
constexpr std::size_t kMaxPathResponses = 2;

constexpr std::uint8_t kMaxDisconnects = 10;
constexpr Duration kDisconnectInterval = std::chrono::milliseconds(100);

// A DISCONNECT on its way.
struct Ending {
  std::uint32_t code = 0;
  Duration reconnect_spread{};
  std::uint8_t sent = 0;
  bool due = false;
  // Number of the first packet with the DISCONNECT.
  std::uint64_t first_packet_number = UINT64_MAX;
  Instant next_send{};
  std::uint16_t reason_size = 0;
  std::array<std::byte, kMaxReasonSize> reason{};
};

// One side of a connection, or of the attempt to make one. Its timer is the base: each peer has one node in
// the wheel, armed no later than whatever it has to do next.
//
// Members are in the order of how often they are touched, and those that are touched together share cache
// lines: with very many peers none of them is in a cache when its packet comes. What only some peers need, or
// all of them seldom, lives behind pointers and in pools.
struct Peer : TimerNode {
  // Whatever happens.
  Instant last_receive{};
  Instant next_ping{};
  PeerPhase phase = PeerPhase::kRequesting;
  bool dirty : 1 = false;
  bool ack_pending : 1 = false;
  bool pong_pending : 1 = false;
  bool ping_due : 1 = false;
  // An acknowledgement may not wait for company any longer.
  bool ack_now : 1 = false;
  // The packet being processed asks for an acknowledgement.
  bool asks_acknowledgement : 1 = false;
  // The packet being processed came from another address than `remote`.
  bool foreign_packet : 1 = false;
  // A message has arrived since the last PING was sent.
  bool message_since_ping : 1 = false;
  // An unreliable message was sent with the last PONG or since then: the next PONG waits for another.
  bool message_since_pong : 1 = false;
  // In the endpoint's list of peers whose user was not told everything, for want of room.
  bool untold : 1 = false;
  StatusMark status;
  // The longest datagram that both sides want (docs/protocol.md section 3).
  std::uint16_t longest_datagram = kLeastMaxDatagram;

  // Each packet, received or sent.
  Instant pong_received{};
  Instant last_pong_sent{};
  Duration timeout{};
  std::unique_ptr<Transfer> transfer;
  std::unique_ptr<KeyUpdate> key_update;
  std::unique_ptr<PathValidation> path_validation;  // while a move is being judged
  ControlFrames control;

  // Each packet received.
  SocketAddress remote;
  std::uint16_t pong_sequence = 0;
  // Packets since the last ACK was sent that ask for one.
  std::uint8_t unacknowledged = 0;
  std::uint8_t issued_count = 0;
  // The features that both sides use (docs/protocol.md section 3).
  std::uint32_t features = 0;
  std::unique_ptr<HalfOpen> half_open;
  std::unique_ptr<PeerCeilings> ceilings;  // null for none
  std::uint64_t packets_received = 0;
  std::array<IssuedId, kKnownIds> issued{};
  ReplayWindow window;

  // Each packet sent. The keys begin with the one for receiving.
  SessionKeys keys;
  std::uint64_t next_packet_number = 0;
  std::uint64_t next_skip = 0;
  std::uint64_t skipped = UINT64_MAX;
  // Packet numbers skipped so far.
  std::uint32_t skips = 0;
  std::uint16_t samples = 0;
  std::uint8_t path_response_count = 0;
  ConnectionId remote_id;
  SocketAddress local;
  Buffer open_packet;
  PathMtu path_mtu;
  Instant ack_received{};
  Instant ack_deadline = kNever;

  // Each PING and its PONG.
  PingRecord pings;
  RoundTrip round_trip;
  ClockOffset clock;

  // The rest.
  std::unique_ptr<ClientAttempt> attempt;
  std::unique_ptr<Ending> ending;
  std::uint64_t client_id = 0;
  WallTime token_created{};
  WallTime token_expires{};
  Key exporter;
  std::array<ReceivedId, kKnownIds> received{};
  IdSequences received_sequences;
  std::array<PathData, kMaxPathResponses> path_responses{};
  std::uint32_t next_issued_sequence = 0;
  std::uint8_t received_count = 0;
  bool single_use = false;
  // Server: has reserved its client id and a place, or is connected with them.
  bool holds_client_id = false;
  bool goaway_received = false;
  // The other side's first limits (docs/protocol.md section 3).
  std::uint32_t credit = 0;
  std::uint32_t channel_credit = 0;

  // Fetches what a packet will touch, all at once: one after the other each of these lines would be waited
  // for.
  void prefetch() const {
    prefetch_line(this);
    prefetch_line(&pong_received);
    prefetch_line(&remote);
    prefetch_line(&window);
    prefetch_line(&keys);
    prefetch_line(&keys.send);
    prefetch_line(&next_packet_number);
    prefetch_line(&path_mtu);
  }
};
// With the 8 bytes of its slot a multiple of 32: a byte more would cost each peer 32 (SlotPool).
static_assert(sizeof(Peer) == 1112);

}  // namespace hawser
