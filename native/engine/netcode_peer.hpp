#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.hpp"
#include "base/time.hpp"
#include "base/timing_wheel.hpp"
#include "crypto/aead.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/events.hpp"
#include "engine/netcode_token_history.hpp"
#include "engine/peer_ceilings.hpp"
#include "engine/replay_window.hpp"
#include "engine/status_schedule.hpp"
#include "engine/token_history.hpp"
#include "wire/netcode_packets.hpp"
#include "wire/netcode_token.hpp"

namespace hawser::netcode {

// The states of a client, by their numbers in the standard.
enum class State : std::int8_t {
  kTokenExpired = -6,
  kInvalidToken = -5,
  kTimedOut = -4,
  kResponseTimedOut = -3,
  kRequestTimedOut = -2,
  kDenied = -1,
  kDisconnected = 0,
  kSendingRequest = 1,
  kSendingResponse = 2,
  kConnected = 3,
};

enum class Phase : std::uint8_t {
  kSendingRequest,   // client
  kSendingResponse,  // client
  kPending,          // server: a CHALLENGE was sent; what the standard calls an encryption mapping
  kConsuming,        // server: the user's token history is being asked
  kConnected,
  kEnding,  // over: DISCONNECTs leave
};

// Client index of a peer that has none.
inline constexpr std::uint32_t kNoClientIndex = UINT32_MAX;

struct Peer;

// What a server needs until the client is connected.
struct Pending {
  // From the same address, tokens newest first.
  Peer* next = nullptr;
  TokenTag tag{};
  TokenId token_id{};
  // Of the one challenge token that its RESPONSE may echo, however often a REQUEST was answered with it.
  std::uint64_t challenge_sequence = 0;
  std::uint64_t expire = 0;
  UserData user_data{};
  // The answer of the token's history, as long as there was no room to tell what follows from it.
  std::optional<ConsumeVerdict> verdict;
};

// What a client needs until it is connected.
struct Attempt {
  PublicToken token;
  std::size_t address = 0;  // the index of the server that is being tried
  ChallengeBody challenge;
  Instant overall_deadline = kNever;
  Instant token_deadline = kNever;
  bool aborted = false;
};

// One side of a session, or of the attempt to make one. Its timer is the base: one node in the wheel, armed
// no later than whatever it has to do next.
struct Peer : TimerNode {
  explicit Peer(std::uint64_t protocol_id) : associated_data(protocol_id) {}

  // What each packet touches.
  PacketKey receive_key;
  PacketKey send_key;
  AssociatedData associated_data;
  Phase phase = Phase::kPending;
  // Server: something has come that only a client which knows its index sends.
  bool confirmed = false;
  StatusMark status;
  std::uint64_t next_sequence = 0;
  Instant last_receive{};
  Instant last_send{};
  ReplayWindow window;
  SocketAddress remote;
  SocketAddress local;
  PeerCeilings ceilings;

  // The rest.
  std::uint64_t packets_received = 0;
  std::uint64_t client_id = 0;
  std::uint32_t client_index = kNoClientIndex;
  std::uint32_t max_clients = 0;
  Duration timeout{};  // zero: none
  std::unique_ptr<Pending> pending;
  std::unique_ptr<Attempt> attempt;

  std::uint8_t disconnects = 0;  // still to be sent, once it ends
};

}  // namespace hawser::netcode
