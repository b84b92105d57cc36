#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/buffer_pool.hpp"
#include "base/bytes.hpp"
#include "base/hash_map.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "base/timing_wheel.hpp"
#include "engine/address_pair.hpp"
#include "engine/channels.hpp"
#include "engine/congestion_controller.hpp"
#include "engine/control_frames.hpp"
#include "engine/counters.hpp"
#include "engine/datagram.hpp"
#include "engine/events.hpp"
#include "engine/failed_responses.hpp"
#include "engine/foreign_budget.hpp"
#include "engine/gateway_state.hpp"
#include "engine/handshake_budget.hpp"
#include "engine/handshake_queue.hpp"
#include "engine/netcode_client.hpp"
#include "engine/netcode_server.hpp"
#include "engine/output_queue.hpp"
#include "engine/packet_buffers.hpp"
#include "engine/peer.hpp"
#include "engine/peer_status.hpp"
#include "engine/peer_status_table.hpp"
#include "engine/peers_by_id.hpp"
#include "engine/send_status.hpp"
#include "engine/shard_steering.hpp"
#include "engine/status_schedule.hpp"
#include "engine/tap.hpp"
#include "engine/token_bucket.hpp"
#include "engine/transfer.hpp"
#include "engine/wall_clock.hpp"
#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"

namespace hawser {

// The modes and states of a socket, by the names of the source document.
enum class Mode : std::uint8_t { kServer, kClient };
enum class SocketState : std::uint8_t { kStopped, kRunning, kStopping };

// What happens to a message for a peer whose queue is full.
enum class QueueFullPolicy : std::uint8_t {
  kRefuse,      // it is refused
  kDisconnect,  // it is refused, and the peer is disconnected with DisconnectCode::kSlowConsumer
};

struct EndpointOptions {
  Mode mode = Mode::kClient;
  // Of a server: which of how many shards of its gateway this is, at most kMaxShards. All of them have the
  // same options but for this one.
  std::uint32_t shard = 0;
  std::uint32_t shards = 1;
  // Length of the connection ids this endpoint chooses, 8 to 16. They begin with the server index if there is
  // one, then, with several shards, with the shard (docs/protocol.md section 5); the rest is random.
  std::uint8_t connection_id_length = 8;
  std::optional<std::uint8_t> server_index;
  // Servers: whether HAWSER is spoken. Netcode is, where the gateway has options for it. Clients speak what
  // their tokens are for.
  bool hawser = true;
  // Peers in any state, half-open ones included, of each wire format, and of those the half-open ones: both
  // of this shard alone, while GatewayOptions::max_peers is for all. Slots of handles count from 0 for HAWSER
  // and from here for netcode.
  std::uint32_t max_sessions = 16'384;
  std::uint32_t max_half_open = 4'096;
  // Ceilings per peer, 0 for none. Counted on packets that authenticated.
  std::uint32_t max_packets_per_second = 0;
  std::uint32_t max_bytes_per_second = 0;
  // Time for handshakes that may be used at once: see HandshakeBudget.
  std::chrono::microseconds handshake_burst{1'000};
  // Packets sealed under one key, at most 2^31, and time under it, before the key is updated
  // (docs/protocol.md section 13).
  std::uint64_t packets_per_key = std::uint64_t{1} << 24;
  Duration time_per_key = std::chrono::hours(1);
  // The longest datagram to send and, told to the other side, to receive: 1,200 (no path MTU discovery) to
  // kMaxReceivedDatagram. By default what fits into a jumbo frame over IPv4.
  std::uint16_t max_datagram = 8'972;
  // Sealed packets that wait for the socket at most; `writable` is false above half of it.
  std::uint32_t max_output_packets = 4'096;
  // By number, 1 to kMaxChannels. Both sides have the same, but for what is the sender's own.
  std::vector<ChannelDeclaration> channels = default_channels();
  CongestionAlgorithm congestion = CongestionAlgorithm::kBbr;
  // What a peer may send on all its reliable channels, and on each, before the user has taken any of it, in
  // bytes and kMessageCost for each message. At least the cost of the longest message.
  std::uint32_t credit = 4 * 1024 * 1024;
  std::uint32_t channel_credit = 2 * 1024 * 1024;
  // Up to where `credit` grows while the user takes messages as fast as they come and credit holds the peer
  // back, but not beyond an eighth of max_reassembly_bytes; that of a channel grows up to half of it.
  std::uint32_t max_credit = 32 * 1024 * 1024;
  // Of a client: by how much that of all connections may have grown. Of a server, GatewayOptions has it.
  std::uint64_t max_grown_credit = std::uint64_t{1} << 30U;
  // Memory of messages that cannot be delivered yet, of all peers together; half of it in equal shares for
  // max_sessions. At least eight times `credit`: the sender of a packet for which there is no room takes it
  // for lost, and slows down as though the network were full.
  std::size_t max_reassembly_bytes = std::size_t{256} * 1024 * 1024;
  // Messages for one peer that wait to be sent, bytes and kMessageCost for each message: beyond the first
  // figure the user is asked to wait, beyond the second the queue is full. The queue is full, too, when the
  // peer makes the endpoint hold more memory than the second figure; half of it is the most that is in
  // flight.
  std::uint32_t high_water_bytes = 256 * 1024;
  std::uint32_t max_queued_bytes = 16 * 1024 * 1024;
  QueueFullPolicy on_queue_full = QueueFullPolicy::kRefuse;
  // How much more is taken than kPeerFull says: what a user may have sent before the flag was there to see.
  std::uint32_t queue_slack_bytes = 0;
  // A cell for each session by its slot, or none: PeerFlag bits.
  std::span<std::uint8_t> peer_flags;
  // Likewise: PeerStatus::max_unreliable of peers that have channels in use; 0 of all others.
  std::span<std::uint16_t> peer_max_unreliable;
  // Buffers that endpoints of one thread share, kMaxReceivedDatagram bytes the longer ones; nullptr for an
  // endpoint that has its own. Of many endpoints with few peers each, every one would hold more than it
  // needs.
  PacketBuffers* packet_buffers = nullptr;
};

// What a sender has to know before each message; see EndpointOptions::peer_flags.
enum PeerFlag : std::uint8_t {
  kPeerWait = 1,  // much is queued or held: kPeerDrain follows
  kPeerFull = 2,  // more than max_queued_bytes are queued or held
};

struct ConnectOptions {
  std::uint64_t protocol_id = 0;
  // The token as bytes (docs/protocol.md section 2), or one of netcode: it decides what is spoken.
  Bytes token;
  // The source address of every datagram of this connection; family kNone leaves it to the operating system.
  SocketAddress local;
  // Zero, with a token of netcode only, leaves it to the timeouts of the token.
  Duration timeout = std::chrono::seconds(10);
};

struct SendOptions {
  // How long a message of a reliable channel is worth sending; zero for ever.
  Duration ttl{};
  // Told with kConfirm when the message of a reliable channel has been acknowledged or has expired; 0 for
  // nothing.
  std::uint32_t confirm = 0;
};

// How a request to update the keys began.
enum class KeyUpdateStart : std::uint8_t {
  kBegun,          // kKeyUpdated or kKeyUpdateRefused follows, or the end of the connection
  kNotConnected,   //
  kBusy,           // an update is under way, or has just been
  kUnsupported,    // the other side does not know of key updates
  kInvalidSecret,  // an id of zeros
};

// What makes a RESET for an id believable (docs/protocol.md section 3).
struct KnownResetToken {
  Handle peer;
  ResetToken token{};
};

// One single-threaded shard of the protocol, sans-I/O: it takes datagrams and the time and gives datagrams,
// events and the next deadline. It never reads a clock, opens a socket, or calls its user; in steady state it
// allocates nothing.
//
// A driver's turn: `receive` for each datagram, then, when its socket is drained, `advance`, then `flush`;
// then it sends `output()` and hands the events on. Calls of the user (`send`, `disconnect`, ...) may come at
// any time between those.
//
// A driver that takes events whenever EventQueue::has_room() says no loses none of them. Without room the
// endpoint goes on: timers, acknowledgements, PINGs and their answers are as ever, messages of unreliable
// channels are dropped, those of reliable ones wait, as many as their credit allows, and nobody new gets
// connected.
class Endpoint {
 public:
  // `gateway` is needed in server mode and null in client mode. All references outlive the endpoint.
  Endpoint(const EndpointOptions& options, GatewayState* gateway, RandomSource& random, EventQueue& events,
           Counters counters, Instant now);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  [[nodiscard]] SocketState state() const;

  // Tells the wall clock: the Unix time that belongs to `now`. Only servers need it, to judge tokens.
  void set_wall_clock(Instant now, WallTime wall);

  // Asks for the memory that receive() will touch of these datagrams, which it is going to be given: with
  // many peers it is in no cache, and for a few datagrams at a time it is waited for only once. A hint: it
  // changes nothing.
  static constexpr std::size_t kLookAhead = 16;
  void look_ahead(std::span<const ReceivedDatagram> datagrams);

  // Takes one datagram. Its bytes are changed (opened in place), unless the result is the shard that it
  // belongs to: then nothing has been done with it, not even counted, and that shard is to be given it as it
  // is, with `handed_over` set. What was handed over is never asked to be handed over again.
  std::optional<std::uint32_t> receive(const ReceivedDatagram& datagram, Instant now);

  // Who sees what the endpoint receives and sends; nullptr, at first, for nobody. It outlives the endpoint,
  // or is taken away before.
  void set_tap(Tap* tap) { output_.set_tap(tap); }

  // Ceilings per peer from now on, as in EndpointOptions; also of the peers that are there.
  void set_ceilings(std::uint32_t packets, std::uint32_t bytes, Instant now);

  // Runs the deadlines that have passed. Call it after the socket has been drained, so that a stall of this
  // process never counts against peers.
  void advance(Instant now);

  // Ends a turn: seals open packets, then serves waiting handshakes up to the budget. Afterwards `output()`
  // holds what to send; what it had no room for waits for the next flush.
  void flush(Instant now);

  // When `advance` or `flush` has something to do next; kNever when nothing is planned. ShardBell tells when
  // another shard has made it "now".
  [[nodiscard]] Instant next_deadline() const;

  // Sealed datagrams to send now, oldest first: at most 64; empty when there are none. They stay valid until
  // `output_sent`, or until the endpoint seals another packet.
  [[nodiscard]] std::span<const OutgoingDatagram> output();
  // The first `count` of `output()` have been sent or given up.
  void output_sent(std::size_t count);
  // The system refused a datagram of `output()` because the interface does not carry its size. Call it before
  // or after output_sent(). Ends a probe of the path MTU; the loss of any other datagram is noticed like
  // every loss.
  void output_too_long(const OutgoingDatagram& datagram, Instant now);
  // True when so many packets of different peers are open or sealed that the driver should send before it
  // goes on.
  [[nodiscard]] bool wants_flush() const;
  // False while the output is over half full; after a message that was sent then, or owe_drain(), a kDrain
  // event says when it is true again.
  [[nodiscard]] bool writable() const;
  // The user knows that the output is not writable.
  void owe_drain() { drain_owed_ = true; }

  // Starts connecting (client mode). kTokenInvalid when the token cannot be decoded or is for another
  // protocol id.
  [[nodiscard]] Result<Handle, ConnectResult> connect(const ConnectOptions& options, Instant now);
  // Ends an attempt that has not connected yet with kAborted, which the next `advance` tells; whatever
  // arrives until then, it does not connect.
  void abort(Handle peer, Instant now);

  // The driver's socket has been replaced by one with another address (client mode): each connected peer goes
  // on over it with a PING at once, and attempts that had a CHALLENGE for the old address begin anew.
  void rebound(Instant now);

  // Sends a message on a declared channel to a connected peer; it leaves with the next flush, or, on a
  // reliable channel or one that obeys congestion control, when that and credit allow. An unreliable message
  // has at most
  // max_unreliable_message() bytes, others max_message_bytes of their channel. `options` are for reliable
  // channels only.
  SendStatus send(Handle peer, std::uint32_t channel, Bytes message, const SendOptions& options, Instant now);

  // Stops or goes on delivering messages of a reliable channel; a channel that stands still uses up its
  // credit and then stops its sender. False when the handle is stale, the peer is not connected or there is
  // no such reliable channel.
  bool set_paused(Handle peer, std::uint32_t channel, bool paused, Instant now);

  // Disconnects: DISCONNECT is sent at 10 Hz until acknowledged, at most ten times. The kDisconnect event
  // (kClosed) is queued at once. `reason` is UTF-8, cut to 256 bytes. `reconnect_spread` is over how long
  // clients are to spread their return, zero for no such wish; a client and netcode tell none. False when the
  // handle is stale or the peer is ending already.
  bool disconnect(Handle peer, std::uint32_t code, std::string_view reason, Instant now,
                  std::chrono::milliseconds reconnect_spread = {});

  // Asks a client to go elsewhere (GOAWAY), reliably. `elsewhere` of family kNone names no address. False
  // when the handle is stale, the peer is not connected or has too much waiting for acknowledgement,
  // `elsewhere` has no form in the wire (docs/protocol.md section 1), or this is a client.
  bool goaway(Handle peer, std::uint32_t reason, std::chrono::milliseconds deadline,
              const SocketAddress& elsewhere, std::chrono::milliseconds reconnect_spread = {});

  // The answer to a kConsume event; kHistoryFull when the history cannot be asked. Ignored when the session
  // has died meanwhile, and the second time.
  void complete_consumption(Handle peer, ConsumeVerdict verdict, Instant now);

  // Updates the keys of a connected peer, mixing in the secret if there is one (docs/protocol.md section 13).
  [[nodiscard]] KeyUpdateStart update_keys(Handle peer, const InjectedSecret* secret, Instant now);
  // The answer to a kSecretWanted event, nothing when no such secret is known. Ignored when it is not waited
  // for any more.
  void provide_secret(Handle peer, const SecretId& id, std::optional<Key> secret, Instant now);

  // STOPPING: no new sessions, every peer is disconnected, as by `disconnect`. STOPPED when none is left and
  // the output is empty; `advance` gives up after 1.1 s what the socket has not taken by then.
  void stop(std::uint32_t code, std::string_view reason, Instant now,
            std::chrono::milliseconds reconnect_spread = {});

  // Status of a peer in any state as it is now; nothing when the handle is stale.
  [[nodiscard]] std::optional<PeerStatus> status(Handle peer, Instant now);
  // Publishes the status of the peers that events are about: before the events are taken, so that whoever
  // handles one sees a status that is no older.
  void publish_status();
  // The published status of peers that are or were connected. It is at most kStatusInterval and a turn older
  // than the events that were taken. To be read on any thread while the endpoint lives.
  [[nodiscard]] const PeerStatusTable& published_status() const { return status_table_; }
  // memory_bytes() as of the last flush; on any thread.
  [[nodiscard]] std::size_t published_memory_bytes() const {
    return memory_bytes_.load(std::memory_order_relaxed);
  }
  // docs/protocol.md section 4, exportKey. Nothing when the peer is not connected or the label is not 1 to
  // 255 bytes.
  [[nodiscard]] std::optional<Key> export_key(Handle peer, std::string_view label);

  // Sessions in any state.
  [[nodiscard]] std::uint32_t sessions() const;
  [[nodiscard]] std::uint32_t connected() const;
  // Calls visit(Handle) for each connected peer; visit may call `send`.
  template <class F>
  void for_each_connected(F&& visit) {
    peers_.for_each([&](Peer& peer) {
      if (peer.phase == PeerPhase::kConnected) visit(peers_.handle_of(peer));
    });
    if (netcode_ != nullptr) netcode_->for_each_connected(visit);
  }
  // Bytes of heap this endpoint holds for its peers, pools and maps, for reports.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  // engine/endpoint.cpp: the turn, timers, what every role shares.
  // The longest message of an unreliable channel now, in bytes.
  [[nodiscard]] static std::size_t max_unreliable(const Peer& peer);
  [[nodiscard]] static PeerStatus status_of(const Peer& peer);
  // The peer's status has changed.
  void status_changed(Peer& peer);
  // An event about the peer is put into the queue.
  void status_due(Peer& peer);
  void publish(Peer& peer);
  // Publishes the status of the peer of a handle; its mark, or nullptr when it is gone.
  StatusMark* publish(Handle handle);
  [[nodiscard]] StatusMark* status_mark(Handle handle);
  [[nodiscard]] std::optional<std::uint32_t> owner_of(const ReceivedDatagram& datagram, Instant now);
  void receive_own(const ReceivedDatagram& datagram, Instant now);
  void take_notices(Instant now);
  void on_timer(Peer& peer, Instant now);
  void on_connected_timer(Peer& peer, Instant now);
  void schedule(Peer& peer);
  [[nodiscard]] Instant deadline_of(const Peer& peer) const;
  Peer* find(Handle handle) { return peers_.get(handle); }
  void destroy(Peer& peer);
  bool send_datagram(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local,
                     std::uint8_t ecn = 0, std::uint32_t probing_slot = kNoProbe);
  bool seal_due(Peer& peer, Instant now);
  void tell_drain();
  [[nodiscard]] ConnectionId new_connection_id();
  // Gives a peer one more id; null when there is no room in the map.
  const IssuedId* issue_id(Peer& peer);
  void set_phase(Peer& peer, PeerPhase phase);
  void become_connected(Peer& peer, Bytes user_data, Instant now);
  // Tells the user what must not be lost; see EventQueue::put.
  void put_event(Peer& peer, EventKind kind, std::uint32_t argument, Bytes first, Bytes second = {});
  void refresh_gauges();
  [[nodiscard]] bool may_release_memory() const;
  void release_idle_memory(Instant now);
  void give_up_goodbyes();

  // engine/session.cpp: packets, frames, liveness, the end of a connection.
  void receive_session(const ReceivedDatagram& datagram, Instant now);
  void charge_foreign_failure(const Peer& peer, const SocketAddress& remote, Instant now);
  [[nodiscard]] static ReceiveKey* receive_key(Peer& peer, std::uint8_t epoch_bits);
  [[nodiscard]] bool keep_waiting(Peer& peer, std::uint64_t number, Bytes payload,
                                  const ConnectionId& addressed);
  void process_packet(Peer& peer, std::uint64_t number, Bytes payload, const ConnectionId& addressed,
                      Instant now);
  bool process_frame(Peer& peer, const Frame& frame, const ConnectionId& addressed, Instant now);
  void acknowledge(Peer& peer, Instant now);
  void acknowledge_soon(Peer& peer, Instant now);
  bool process_ack(Peer& peer, const AckFrame& ack, Instant now);
  void process_disconnect(Peer& peer, const DisconnectFrame& frame, Instant now);
  bool process_new_id(Peer& peer, const NewIdFrame& frame);
  bool process_retire_id(Peer& peer, const RetireIdFrame& frame, const ConnectionId& addressed);
  [[nodiscard]] bool offer_id(Peer& peer);
  void process_pong(Peer& peer, const PongFrame& pong, Instant now);
  void answer_unknown(const ReceivedDatagram& datagram, const ConnectionId& id, Instant now);
  void mark_dirty(Peer& peer);
  [[nodiscard]] static Instant pong_deadline(const Peer& peer);
  [[nodiscard]] static bool has_due(const Peer& peer, Instant now);
  bool begin_packet(Peer& peer);
  // What a packet of the peer has room for beside its header and tag.
  [[nodiscard]] static std::size_t packet_capacity(const Peer& peer);
  // What is left of that in an open one.
  [[nodiscard]] static std::size_t room_in(const Peer& peer, const Buffer& packet);
  [[nodiscard]] BufferPool& pool_for(std::size_t datagram);
  bool send_mtu_probe(Peer& peer, std::size_t size, Instant now);
  [[nodiscard]] Instant deferred_ping(const Peer& peer, Duration interval) const;
  void plan_ping(Peer& peer, Instant now);
  static void ping_with_probes(Peer& peer, Instant now);
  void write_ping_frame(Peer& peer, ByteWriter& writer, Instant now);
  [[nodiscard]] static bool wants_measurement(const Peer& peer, Instant now);
  [[nodiscard]] static bool waits_for_path(const Peer& peer);
  void write_due_frames(Peer& peer, ByteWriter& writer, Instant now);
  void finish_packet(Peer& peer, Instant now);
  [[nodiscard]] static NetworkPath current_path(const Peer& peer);
  void seal_packet(Peer& peer, Buffer&& buffer, const NetworkPath& path, Instant now,
                   std::uint32_t probing_slot = kNoProbe);
  std::size_t send_alone(Peer& peer, Bytes frame, std::size_t size, const NetworkPath& path, Instant now,
                         std::uint32_t probing_slot = kNoProbe);
  bool send_control(Peer& peer, Bytes frame);
  void start_session(Peer& peer, Prk&& prk, Instant now);
  void start_ceilings(Peer& peer, Instant now);
  void start_liveness(Peer& peer, Instant now);
  [[nodiscard]] Duration ping_interval(const Peer& peer) const;
  void end_session(Peer& peer, const DisconnectFrame& frame, Instant now);
  void begin_ending(Peer& peer, DisconnectResult result, const DisconnectFrame& frame, bool tell,
                    Instant now);
  void announce(Peer& peer, DisconnectResult result, const DisconnectFrame& frame);
  void fail(Peer& peer, DisconnectResult result, DisconnectCode code, Instant now);
  void forget_connected(Peer& peer);

  // engine/messages.cpp: channels.
  SendStatus send_hawser(Handle handle, std::uint32_t channel, Bytes message, const SendOptions& options,
                         Instant now);
  SendStatus send_unreliable(Peer& peer, std::uint32_t channel, Bytes message, Instant now);
  SendStatus send_sequenced(Peer& peer, std::uint32_t channel, Bytes message, Instant now);
  SendStatus send_reliable(Peer& peer, std::uint32_t channel, Bytes message, const SendOptions& options,
                           Instant now);
  SendStatus enqueue(Peer& peer, std::uint32_t channel, Bytes message, const SendOptions& options,
                     Instant now);
  // Whether the user is asked to wait before it sends more.
  [[nodiscard]] bool asks_to_wait(const Transfer& transfer) const;
  // Whether a user that was asked to wait need not any more.
  [[nodiscard]] bool is_drained(const Transfer& transfer) const;
  void relieve_send_memory(Instant now);
  void count_send_memory();
  void end_greatest_holders(bool ask_others, Instant now);
  void answer_for_send_memory(Instant now);
  void end_for_memory(Peer& peer, DisconnectCode code, Instant now);
  // Makes room for a frame of so many bytes in the peer's open packet; kSent when there is.
  SendStatus open_room(Peer& peer, std::size_t size, Instant now);
  SendStatus refuse_full();
  [[nodiscard]] Transfer& transfer_of(Peer& peer);
  [[nodiscard]] bool lacks_memory(Peer& peer, Bytes payload, Instant now);
  bool push_message(Peer& peer, std::uint32_t channel, Bytes data, bool kept);
  bool process_channel_frame(Peer& peer, const Frame& frame, Instant now);
  // What is left to do when the transfer's state may have changed: tell the user, send, set the timer.
  void settle_transfer(Peer& peer, Instant now);
  void count_transfer(Transfer& transfer);
  [[nodiscard]] bool may_tell_untold() const;
  void tell_later(Peer& peer);
  void tell_untold(Instant now);
  [[nodiscard]] bool tell_untold(Handle handle, Instant now);
  bool tell(Peer& peer);
  void update_flags(Peer& peer);
  void drop_transfer(Peer& peer);
  // engine/session_keys.cpp
  bool begin_key_update(Peer& peer, const InjectedSecret* secret, Instant now);
  [[nodiscard]] KeyUpdate& key_update_of(Peer& peer) const;
  void update_worn_keys(Peer& peer, Instant now);
  bool process_key_update(Peer& peer, const Frame& frame, Instant now);
  void key_opened(Peer& peer, const ReceiveKey& key, Instant now);
  void proceed_key_update(Peer& peer, Instant now);
  bool take_step(Peer& peer, KeyUpdateStep step, Instant now);
  void keys_switched(Peer& peer, Instant now);
  // engine/roaming.cpp: moves of clients.
  void follow_path(Peer& peer, const ReceivedDatagram& datagram, bool newest, Instant now);
  void judge_move(Peer& peer, PathValidation::Verdict verdict, Instant now);
  void challenge_paths(Peer& peer, Instant now);
  void on_path_timer(Peer& peer, Instant now);
  void end_move(Peer& peer);
  bool process_path_challenge(Peer& peer, const PathFrame& frame);
  bool process_path_response(Peer& peer, const PathFrame& frame, Instant now);
  bool answer_challenges(Peer& peer, Instant now);
  void change_path(Peer& peer, const NetworkPath& path, Instant now);
  void on_path_changed(Peer& peer, bool fresh, Instant now);
  void use_features(Peer& peer, std::uint32_t features, std::uint16_t max_datagram);
  static void start_path_mtu(Peer& peer);
  [[nodiscard]] static const ReceivedId* spare_id(const Peer& peer);
  bool retire_id(Peer& peer, const ConnectionId& id);

  // engine/endpoint.cpp: netcode.
  [[nodiscard]] netcode::SessionOptions netcode_options() const;
  [[nodiscard]] netcode::Surroundings netcode_surroundings();
  void start_netcode_server(Instant now);
  [[nodiscard]] netcode::Client& netcode_client(Instant now);
  void receive_netcode(const ReceivedDatagram& datagram, Instant now);
  [[nodiscard]] bool is_netcode(Handle handle) const { return netcode_ != nullptr && netcode_->owns(handle); }
  // engine/server_handshake.cpp
  void receive_handshake(const ReceivedDatagram& datagram, DatagramKind kind, Instant now);
  // Why a token is refused: how that is counted, and what its holder is told.
  struct TokenFault {
    Counter counter;
    DeniedReason reason;
  };
  [[nodiscard]] std::optional<TokenFault> clear_fault(const TokenClear& clear, Instant now) const;
  [[nodiscard]] std::optional<TokenFault> private_fault(const TokenClear& clear,
                                                        const PrivateToken& token) const;
  [[nodiscard]] bool check_clear_token(const TokenClear& clear, Instant now);
  void serve_handshakes(Instant now);
  [[nodiscard]] std::shared_ptr<const CookieRecord> cookie_record(const Cookie& cookie, Instant now);
  [[nodiscard]] bool check_cookie(const ReceivedDatagram& datagram, Instant now);
  [[nodiscard]] bool handshakes_wait() const { return handshakes_->size() + responses_->size() > 0; }
  void charge(HandshakeWork work, std::chrono::nanoseconds cost, Instant now);
  // How opening a token went.
  enum class TokenOpening : std::uint8_t {
    kOpened,
    kFailed,   // not sealed by a backend of this gateway
    kRefused,  // it breaks a rule, of which its holder has been told, or its key is unknown
  };
  [[nodiscard]] TokenOpening open_token(const ReceivedDatagram& datagram, const TokenCarrierView& view,
                                        HandshakeWork work, PrivateToken& token, Instant now);
  [[nodiscard]] std::optional<DeniedReason> refusal(const TokenClear& clear, const TokenId& id,
                                                    const PrivateToken& token, Instant challenged,
                                                    Instant now);
  void deny(const ReceivedDatagram& datagram, const TokenCarrierView& view, const TokenId& id,
            const PrivateToken& token, DeniedReason reason);
  void serve_request(const ReceivedDatagram& datagram, Instant now);
  void serve_response(const ReceivedDatagram& datagram, Instant now);
  void confirm(Peer& peer, Instant now);
  void end_replaced(Handle handle, Instant now);
  [[nodiscard]] PeerReference reference_to(const Peer& peer) const;
  void release_client_id(Peer& peer);

  [[nodiscard]] bool declares_same_channels(const ResponseBody& body) const;
  bool open_half(Peer& peer, const ReceivedDatagram& datagram, const ResponseView& view, const TokenId& id,
                 const PrivateToken& token, const ResponseBody& body, const CookieRecord& record,
                 const Hash256& hash, Instant now);
  [[nodiscard]] Peer* enter_half_open(std::uint64_t client_id);
  void leave_half_open(const Peer& peer);
  void send_accept(const Peer& peer);
  void repeat_accept(const PeerReference& session);
  void consumed(Peer& peer, ConsumeVerdict verdict, Instant now);
  void resume(Peer& peer, Instant now);
  void process_waiting(Peer& peer, Instant now);
  [[nodiscard]] bool proceed_half_open(Peer& peer, Instant now);
  void drop_half_open(Peer& peer);
  void refuse(Peer& peer, DeniedReason reason, Instant now);

  // What this side can, of the features of docs/protocol.md section 3.
  static constexpr std::uint32_t kOfferedFeatures =
      kFeatureChannels | kFeatureKeyUpdate | kFeatureRoaming | kFeaturePathMtu;
  [[nodiscard]] static Hash128 digest_of(const std::vector<ChannelDeclaration>& channels);

  // engine/client_handshake.cpp
  [[nodiscard]] Result<Handle, ConnectResult> connect_netcode(const ConnectOptions& options, Instant now);
  [[nodiscard]] static std::optional<ClientState> client_state(PeerPhase phase);
  [[nodiscard]] static std::uint32_t denied_reason_of(std::uint32_t disconnect_code);
  [[nodiscard]] static Instant client_deadline(const ClientAttempt& attempt, PeerPhase phase);
  void start_attempt(Peer& peer, Instant now);
  void restart_attempt(Peer& peer, Instant now);
  void join_address(Peer& peer, Instant now);
  void unlist(AwaitedAddress& awaited);
  void unlist(Peer& peer);
  void send_copy(const Peer& peer, Bytes datagram, const SocketAddress& remote);
  void on_client_timer(Peer& peer, Instant now);
  void receive_for_client(const ReceivedDatagram& datagram, DatagramKind kind, Instant now);
  bool receive_challenge(AwaitedAddress& from, const ReceivedDatagram& datagram, Instant now);
  bool receive_accept(Peer& peer, const ReceivedDatagram& datagram, Instant now);
  bool receive_denied(AwaitedAddress& from, const ReceivedDatagram& datagram, Instant now);
  void client_confirmed(Peer& peer, Instant now);
  bool refused(Peer& peer, std::uint32_t reason, Instant now);
  void announce_connect_failed(Peer& peer, ConnectResult result, std::uint32_t reason);
  void connect_failed(Peer& peer, ConnectResult result, std::uint32_t reason);
  void accept_id(Peer& peer, const ConnectionId& id, const ResetToken& token);
  void learn_reset_token(Peer& peer, const ConnectionId& id, const ResetToken& token);
  void forget_reset_token(Peer& peer, const ConnectionId& id);
  void receive_reset(const ReceivedDatagram& datagram, Instant now);

  EndpointOptions options_;
  GatewayState* gateway_;
  ShardSteering steering_;
  RandomSource& random_;
  EventQueue& events_;
  Counters counters_;
  bool stopping_ = false;
  // When the goodbyes of a stop that have not left are given up.
  Instant goodbyes_end_ = kNever;
  bool gave_up_goodbyes_ = false;
  WallClock wall_clock_;
  // Of a client; shards of a server share that of the gateway.
  std::optional<CreditBudget> own_credit_budget_;
  TransferSettings transfer_settings_;
  // How much of send_blocks is in GatewayState::send_memory().
  std::size_t counted_send_memory_ = 0;
  // In this turn, no peer here holds more than its share of the memory that is full.
  bool send_memory_searched_ = false;
  Hash128 channels_digest_;
  // Null where they are shared.
  std::unique_ptr<PacketBuffers> own_buffers_;
  BufferPool& buffers_;
  BufferPool& long_buffers_;
  ControlFramePool control_pool_;
  PingTimesPool ping_pool_;
  OutputQueue output_;
  TimingWheel wheel_;
  PeerStatusTable status_table_;
  StatusSchedule status_schedule_;
  std::atomic<std::size_t> memory_bytes_ = 0;
  SlotPool<Peer> peers_;
  PeersById by_id_;
  // Who waits for handshake datagrams between two addresses.
  HashMap<AddressPair, AwaitedAddress*> awaiting_;
  HashMap<std::uint64_t, std::uint32_t> half_open_by_client_;
  HashMap<ConnectionId, KnownResetToken> reset_tokens_;
  // Of the two that `netcode_` is, the one for this mode; null when netcode is not spoken, or not yet.
  std::unique_ptr<netcode::Server> netcode_server_;
  SipKey netcode_client_key_{};
  std::unique_ptr<netcode::Client> netcode_client_;
  netcode::Sessions* netcode_ = nullptr;
  // REQUESTs, and RESPONSEs with a valid cookie, that wait for their turn.
  std::unique_ptr<HandshakeQueue> handshakes_;
  std::unique_ptr<HandshakeQueue> responses_;
  FailedResponses failed_responses_;
  HandshakeBudget handshake_budget_;
  // Tokens that break a rule of their clear part and may still be opened, to answer their holders.
  TokenBucket refusal_budget_;
  // Null until it is needed.
  std::unique_ptr<ForeignBudget> foreign_budget_;
  TokenBucket reset_budget_;
  SipKey prefix_key_;
  // Of a server: when a RESET last went to each bin of source prefixes.
  std::vector<Instant> last_reset_;
  // Peers with something to send in this turn.
  std::vector<Handle> dirty_;
  // Peers whose user has to be told something for which there was no room.
  std::vector<Handle> untold_;
  // Empty except in take_notices().
  std::vector<PeerNotice> notices_;
  std::uint32_t half_open_count_ = 0;
  std::uint32_t connected_count_ = 0;
  // Packets that wait for the consumption of their tokens, of all peers together.
  std::size_t waiting_count_ = 0;
  // When the handshakes that wait go on, if it is the budget that they wait for.
  Instant handshakes_resume_{};
  bool drain_owed_ = false;
  // When memory that has not been needed for a while is released.
  Instant next_release_ = kNever;
  // When the gateway's oldest cookie record has to be wiped.
  Instant next_erasure_ = kNever;
};

}  // namespace hawser
