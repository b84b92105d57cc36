#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/buffer_pool.hpp"
#include "base/random.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "base/timing_wheel.hpp"
#include "engine/counters.hpp"
#include "engine/datagram.hpp"
#include "engine/events.hpp"
#include "engine/netcode_peer.hpp"
#include "engine/output_queue.hpp"
#include "engine/peer_status.hpp"
#include "engine/peer_status_table.hpp"
#include "engine/send_status.hpp"
#include "engine/status_schedule.hpp"

namespace hawser::netcode {

struct SessionOptions {
  // Slots of handles begin here, behind those of the endpoint's other peers.
  std::uint32_t first_slot = 0;
  std::uint32_t max_sessions = 0;
  // The number of the one channel that the format has: the first unreliable one that is declared.
  std::optional<std::uint32_t> channel;
  // Ceilings per peer, 0 for none. Counted on packets that authenticated, but for DISCONNECT.
  std::uint32_t max_packets_per_second = 0;
  std::uint32_t max_bytes_per_second = 0;
  // Of the gateway: each has an equal part of what one client may take of it.
  std::uint32_t shards = 1;
};

// What belongs to the endpoint that these sessions are part of. All of it outlives them.
struct Surroundings {
  RandomSource& random;
  EventQueue& events;
  Counters counters;
  BufferPool& buffers;
  OutputQueue& output;
  PeerStatusTable& status_table;
  StatusSchedule& status_schedule;
};

// The sessions of netcode 1.02 within an endpoint: what servers and clients have in common. The rules of
// time, room and re-entrancy are those of Endpoint.
class Sessions {
 public:
  Sessions(const SessionOptions& options, const Surroundings& surroundings, Instant now);
  // The derived class destroys the peers: what it keeps about them dies first.
  virtual ~Sessions() = default;
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // Whether a handle is one of these sessions, or was.
  [[nodiscard]] bool owns(Handle handle) const { return handle.slot >= options_.first_slot; }

  // A datagram that may_begin_packet(), except REQUEST. It is changed: opened in place.
  virtual void receive(const ReceivedDatagram& datagram, Instant now) = 0;
  void advance(Instant now);
  // Sends DISCONNECTs as far as there is room.
  void flush();
  [[nodiscard]] Instant next_deadline() const;

  // Ceilings per peer from now on, 0 for none; also of the peers that are there.
  void set_ceilings(std::uint32_t packets, std::uint32_t bytes, Instant now);

  // Sends a message of 1 to 1,200 bytes on the one channel; kTooLong for others, kInvalidChannel for other
  // channels.
  SendStatus send(Handle handle, std::uint32_t channel, Bytes message, Instant now);
  // Ten DISCONNECTs, at once. `code` and `result` are for the user of this side: the format has no words.
  // False when the handle is stale or the session is ending already.
  bool disconnect(Handle handle, DisconnectResult result, std::uint32_t code);
  // Ends everything.
  void stop(std::uint32_t code, Instant now);
  // Sends no more of the DISCONNECTs for which there was no room.
  void give_up_disconnects();

  [[nodiscard]] std::optional<PeerStatus> status(Handle handle);
  // As of Endpoint.
  StatusMark* publish(Handle handle);
  [[nodiscard]] StatusMark* status_mark(Handle handle);
  // Sessions in any state.
  [[nodiscard]] std::uint32_t sessions() const { return peers_.size(); }
  [[nodiscard]] std::uint32_t connected() const { return connected_; }
  template <class F>
  void for_each_connected(F&& visit) {
    peers_.for_each([&](Peer& peer) {
      if (peer.phase == Phase::kConnected) visit(handle_of(peer));
    });
  }
  [[nodiscard]] virtual std::size_t memory_bytes() const { return peers_.allocated_bytes(); }

 protected:
  // KEEP_ALIVE, REQUEST and RESPONSE: the standard says "at some rate, like 10HZ".
  static constexpr Duration kSendInterval = std::chrono::milliseconds(100);
  // The standard says "a number of".
  static constexpr std::uint8_t kDisconnects = 10;
  // Until the output may have room again.
  static constexpr Duration kRetryTick = std::chrono::milliseconds(1);

  Peer* create(std::uint64_t protocol_id) { return peers_.create(protocol_id); }
  [[nodiscard]] Peer* find(Handle handle);
  [[nodiscard]] Handle handle_of(const Peer& peer) const;

  // Reads the header of a packet for this side, or counts why there is none.
  [[nodiscard]] std::optional<PacketHeader> read_header(const ReceivedDatagram& datagram, PacketTypes taken);
  // Opens a packet of a peer: its body, or nothing, and then why is counted.
  [[nodiscard]] std::optional<Bytes> open(Peer& peer, const ReceivedDatagram& datagram,
                                          const PacketHeader& header, Instant now);
  // Handles KEEP_ALIVE, PAYLOAD and DISCONNECT of a connected peer.
  void process(Peer& peer, PacketType type, Bytes body);

  // Seals and queues a packet with the peer's next sequence number; false without room.
  bool send_packet(Peer& peer, PacketType type, Bytes body, Instant now);
  bool send_keep_alive(Peer& peer, Instant now);
  // Queues a packet, or a datagram as it is; false without room.
  bool transmit(PacketType type, std::uint64_t sequence, Bytes body, const PacketKey& key,
                const AssociatedData& associated_data, const SocketAddress& remote,
                const SocketAddress& local);
  bool transmit(Bytes datagram, const SocketAddress& remote, const SocketAddress& local);
  // What this side's KEEP_ALIVE says.
  [[nodiscard]] virtual KeepAliveBody keep_alive(const Peer& peer) const = 0;

  // The handshake is done: tells the user. `create` and `expire`, of the token, are Unix seconds.
  void connect(Peer& peer, std::uint64_t create, std::uint64_t expire, Bytes user_data, Instant now);
  // Ends a session; with `disconnects` the other side is told.
  void end(Peer& peer, DisconnectResult result, std::uint32_t code, bool disconnects);
  // Tells the user what must not be lost; see EventQueue::put.
  void put_event(EventKind kind, const Peer& peer, std::uint32_t argument, Bytes first, Bytes second = {});
  // Cancels timers and forgets; the user is not told.
  void destroy(Peer& peer);
  // Arms the timer, if what it is to do next comes before what it is armed for.
  void schedule(Peer& peer);

  // Undoes what the side keeps about a peer, before it is destroyed or when its session has ended.
  virtual void forget(Peer& peer) = 0;
  // The deadline of a peer that is not connected.
  [[nodiscard]] virtual Instant deadline_of(const Peer& peer) const = 0;
  // The deadline of such a peer has come; it is scheduled again afterwards unless this destroys it, and then
  // false is returned.
  [[nodiscard]] virtual bool on_timer(Peer& peer, Instant now) = 0;
  // The endpoint stops while the peer is not connected. It may be destroyed.
  virtual void stop_attempt(Peer& peer, Instant now) = 0;
  // The peer has come to a state of a client, before the user hears of a connection or of its end.
  virtual void entered(const Peer& /*peer*/, State /*state*/) {}

  SessionOptions options_;
  RandomSource& random_;
  EventQueue& events_;
  Counters counters_;
  OutputQueue& output_;

  SlotPool<Peer> peers_;

 private:
  [[nodiscard]] Instant deadline(const Peer& peer) const;
  [[nodiscard]] static PeerStatus status_of(const Peer& peer);
  void status_changed(Peer& peer);
  void publish(const Peer& peer);
  void fire(Peer& peer, Instant now);
  void push_datagram(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local);
  // Sends the DISCONNECTs of a session that has ended, as far as there is room; true when that was all.
  bool send_disconnects(Peer& peer);

  BufferPool& buffers_;
  PeerStatusTable& status_table_;
  StatusSchedule& status_schedule_;
  TimingWheel wheel_;
  // Those that end, and whether some have not been looked at by flush().
  std::vector<Handle> ending_;
  bool ended_since_flush_ = false;
  std::uint32_t connected_ = 0;
};

}  // namespace hawser::netcode
