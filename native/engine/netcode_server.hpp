#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/hash_map.hpp"
#include "engine/gateway_state.hpp"
#include "engine/handshake_budget.hpp"
#include "engine/netcode_sessions.hpp"
#include "engine/wall_clock.hpp"

namespace hawser::netcode {

// The server of netcode 1.02 (its standard, section "Server-Side Connection Process").
class Server final : public Sessions {
 public:
  // `gateway` serves netcode, and outlives this as `clock` does. `max_pending`: encryption mappings at a
  // time.
  Server(const SessionOptions& options, const Surroundings& surroundings, GatewayState& gateway,
         const WallClock& clock, std::uint32_t shard, std::uint32_t max_pending, Instant now);
  ~Server() override;

  // The first checks of a REQUEST, which cost next to nothing: whether to go on with serve_request().
  [[nodiscard]] bool check_request(Bytes datagram, Instant now);
  // Makes the other checks, and answers. Returns the time that is charged for it: at most
  // HandshakeCosts::kMaxRequest.
  [[nodiscard]] std::chrono::nanoseconds serve_request(const ReceivedDatagram& datagram, Instant now);

  void receive(const ReceivedDatagram& datagram, Instant now) override;

  // As Endpoint::complete_consumption. False when there is no room among the events for what follows, which
  // is proceed()'s then.
  [[nodiscard]] bool complete_consumption(Handle handle, ConsumeVerdict verdict, Instant now);
  // Goes on with a session that lacked room. False while it still does.
  [[nodiscard]] bool proceed(Handle handle, Instant now);

  // Sessions that wait for RESPONSE or for the token's history.
  [[nodiscard]] std::uint32_t pending() const { return pending_count_; }
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  [[nodiscard]] bool open_token(const RequestView& request, PrivateToken& token) const;
  void answer_request(const ReceivedDatagram& datagram, const RequestView& request, const PrivateToken& token,
                      Instant now);
  void deny(const PacketKey& send_key, const SocketAddress& remote, const SocketAddress& local);
  Peer* map(const ReceivedDatagram& datagram, const RequestView& request, const PrivateToken& token,
            Instant now);
  void challenge(const Peer& peer);
  void receive_response(Peer* first, const ReceivedDatagram& datagram, const PacketHeader& header,
                        Instant now);
  void accept(Peer& peer, Bytes body, Instant now);
  [[nodiscard]] ReserveVerdict reserve(Peer& peer, Instant now);
  void release_place(Peer& peer);
  [[nodiscard]] PeerReference reference_to(const Peer& peer) const;
  void consumed(Peer& peer, ConsumeVerdict verdict, Instant now);
  void connected(Peer& peer, Instant now);
  void unlink(Peer& peer);

  [[nodiscard]] KeepAliveBody keep_alive(const Peer& peer) const override;
  void forget(Peer& peer) override;
  [[nodiscard]] Instant deadline_of(const Peer& peer) const override;
  [[nodiscard]] bool on_timer(Peer& peer, Instant now) override;
  void stop_attempt(Peer& peer, Instant now) override;

  GatewayState& gateway_;
  Gateway& netcode_;
  const WallClock& clock_;
  std::uint32_t shard_;
  std::uint32_t max_pending_;
  std::uint32_t max_pending_per_client_;
  AssociatedData associated_data_;
  HashMap<SocketAddress, Peer*> by_address_;
  // The newest of each address; the others follow it.
  HashMap<SocketAddress, Peer*> pending_;
  HashMap<std::uint64_t, std::uint32_t> pending_by_client_;
  std::uint32_t pending_count_ = 0;
};

}  // namespace hawser::netcode
