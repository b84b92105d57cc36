#pragma once

#include <cstddef>

#include "base/hash_map.hpp"
#include "base/result.hpp"
#include "engine/address_pair.hpp"
#include "engine/netcode_sessions.hpp"

namespace hawser::netcode {

// The client of netcode 1.02 (its standard, section "Client State Machine"), any number of them on one
// socket. Packets name no connection: two of these must differ in the server's address or in their own.
class Client final : public Sessions {
 public:
  // `key`: random and secret.
  Client(const SessionOptions& options, const Surroundings& surroundings, const SipKey& key, Instant now);
  ~Client() override;

  // Starts connecting. `local`: as in ConnectOptions. `timeout`: for all servers of the token together; zero
  // for none but the token's own. kAddressInUse when another session of this socket goes to each of the
  // token's servers.
  [[nodiscard]] Result<Handle, ConnectResult> connect(PublicToken&& token, const SocketAddress& local,
                                                      Duration timeout, Instant now);
  // As Endpoint::abort.
  void abort(Handle handle, Instant now);

  void receive(const ReceivedDatagram& datagram, Instant now) override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  [[nodiscard]] Peer* addressee(const ReceivedDatagram& datagram);
  [[nodiscard]] bool try_servers(Peer& peer, std::size_t first, Instant now);
  void enter(Peer& peer, Phase phase, Instant now);
  void send_again(Peer& peer, Instant now);
  void next_server(Peer& peer, ConnectResult result, State state, Instant now);
  void fail(Peer& peer, ConnectResult result, State state);
  void receive_challenge(Peer& peer, Bytes body, Instant now);
  void receive_first_keep_alive(Peer& peer, Bytes body, Instant now);

  [[nodiscard]] KeepAliveBody keep_alive(const Peer& peer) const override;
  void forget(Peer& peer) override;
  [[nodiscard]] Instant deadline_of(const Peer& peer) const override;
  [[nodiscard]] bool on_timer(Peer& peer, Instant now) override;
  void stop_attempt(Peer& peer, Instant now) override;
  void entered(const Peer& peer, State state) override;

  HashMap<AddressPair, Peer*> by_addresses_;
};

}  // namespace hawser::netcode
