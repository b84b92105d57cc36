#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"

namespace hawser {

enum class EventKind : std::uint8_t {
  kMessage = 1,        // argument: channel; bytes: the message
  kConnect = 2,        // bytes: ConnectRecord, then user data
  kDisconnect = 3,     // argument: DisconnectResult; bytes: u32 code, u32 spread in ms, reason (UTF-8)
  kConnectFailed = 4,  // argument: ConnectResult; bytes: u32 reason of DENIED, 0 when there was none
  kState = 5,          // argument: ClientState; bytes: of netcode, i32 the number of its state
  kDrain = 6,          // no peer: the output queue has room again
  kGoaway = 7,         // bytes: u32 reason, u32 deadline in ms, u32 reconnect spread in ms, address record
                       // (family 0: none)
  kConsume = 8,      // bytes: token id[32], u64 expire (Unix ms); answered by Endpoint::complete_consumption
  kConfirm = 9,      // argument: 0 delivered, 1 expired; bytes: u32 for each message, as SendOptions::confirm
  kPeerDrain = 10,   // the peer may be sent to again
  kKeyUpdated = 20,  // argument: 0 begun by this side, 1 by the other; bytes: u32 epoch, secret id[16] (zeros
                     // for none)
  kKeyUpdateRefused = 21,  // argument: KeyUpdateRefusal or kKeyUpdateSuperseded
  kSecretWanted = 22,      // bytes: secret id[16]; answered by Endpoint::provide_secret
};

// Beside the reasons of the wire: the server's update came first, and the client's secret is not in it.
constexpr std::uint32_t kKeyUpdateSuperseded = 256;

// How a connection ended.
enum class DisconnectResult : std::uint8_t {
  kDisconnected = 1,   // the other side sent DISCONNECT
  kClosed = 2,         // this side disconnected
  kTimedOut = 3,       // nothing authentic for the token's timeout
  kReset = 4,          // the server does not know the connection any more
  kProtocolError = 5,  // the other side broke a rule
  kReplaced = 6,       // a newer token of the same client id took over
  kKeyExhausted = 7,   // a limit of section 5 of docs/protocol.md
};

// How an attempt to connect ended, other than connected.
enum class ConnectResult : std::uint8_t {
  kConnected = 0,
  kDenied = 1,
  kTimedOut = 2,
  kTokenExpired = 3,
  kTokenInvalid = 4,
  kAborted = 5,
  kAddressInUse = 6,  // netcode: the socket has a session with each server of the token already
};

enum class ClientState : std::uint8_t {
  kDisconnected = 0,
  kRequesting = 1,
  kResponding = 2,
  kConfirming = 3,
  kConnected = 4,
  kDisconnecting = 5,
};

// Six words per event; the first is kind | argument << 8 (the argument has 24 bits).
struct EventDescriptor {
  std::uint32_t kind_and_argument;
  std::uint32_t slot;
  std::uint32_t generation;
  std::uint32_t offset;  // of the bytes in the slab
  std::uint32_t length;
  std::uint32_t reserved;

  [[nodiscard]] EventKind kind() const { return static_cast<EventKind>(kind_and_argument & 0xffu); }
  [[nodiscard]] std::uint32_t argument() const { return kind_and_argument >> 8; }
};
static_assert(sizeof(EventDescriptor) == 24);

// The format that a session's packets have.
enum class Wire : std::uint32_t { kHawser = 0, kNetcode = 1 };

// What kConnect tells, beside user data.
struct ConnectRecord {
  // 0 on a client of netcode, which cannot read it.
  std::uint64_t client_id = 0;
  // Of the token, Unix ms; 0 on a server of netcode, which is not told when it was created.
  std::uint64_t create = 0;
  std::uint64_t expire = 0;
  SocketAddress remote;
  SocketAddress local;
  Duration timeout{};  // zero: none
  std::uint32_t flags = 0;
  Wire wire = Wire::kHawser;
  // Of netcode: the client's slot, and how many there are.
  std::uint32_t client_index = 0;
  std::uint32_t max_clients = 0;
};

// The bytes of kConnect: little-endian, this layout, user data follows.
struct ConnectRecordLayout {
  static constexpr std::size_t kClientId = 0;      // u64
  static constexpr std::size_t kCreate = 8;        // u64 Unix ms
  static constexpr std::size_t kExpire = 16;       // u64 Unix ms
  static constexpr std::size_t kRemote = 24;       // 24 bytes: u8 family, u8 0, u16 port, u32 scope, ip[16]
  static constexpr std::size_t kLocal = 48;        // 24 bytes
  static constexpr std::size_t kTimeout = 72;      // u32 ms
  static constexpr std::size_t kFlags = 76;        // u32
  static constexpr std::size_t kWire = 80;         // u32 Wire
  static constexpr std::size_t kClientIndex = 84;  // u32
  static constexpr std::size_t kMaxClients = 88;   // u32
  static constexpr std::size_t kReserved = 92;     // u32 0
  static constexpr std::size_t kUserData = 96;
};
[[nodiscard]] std::array<std::byte, ConnectRecordLayout::kUserData> encode(const ConnectRecord& record);

// What begins the bytes of kDisconnect; the reason follows.
constexpr std::size_t kDisconnectRecordSize = 8;
[[nodiscard]] std::array<std::byte, kDisconnectRecordSize> disconnect_record(std::uint32_t code,
                                                                             Duration reconnect_spread);

// Events on their way to the user: a slab for bytes and an array of descriptors, both provided by the owner,
// so that JavaScript can read them where they are.
//
// Without room messages are refused, and are their owners' to keep or to drop. News that must not be lost are
// kept here, which allocates, and come first in the next storage; until then nothing else is taken. Whoever
// has a user that takes events when asked to asks `has_room` before it feeds the endpoint, and nothing is
// ever kept.
class EventQueue {
 public:
  // The most that one received datagram can add.
  static constexpr std::size_t kRoomBytes = std::size_t{40} * 1024;
  static constexpr std::size_t kRoomDescriptors = 4'700;
  // What messages leave of that for the news that a connection has ended, or that it should.
  static constexpr std::size_t kLastBytes = 1024;
  static constexpr std::size_t kLastDescriptors = 8;

  EventQueue() = default;
  EventQueue(MutableBytes slab, std::span<EventDescriptor> descriptors);

  // Hands the filled storage over to the reader and goes on with other storage (double buffering). The queue
  // must be empty of unread events or the caller has taken them: `count` and `slab_used` start anew, with the
  // events that were kept.
  void use(MutableBytes slab, std::span<EventDescriptor> descriptors);

  // Room for whatever one datagram, one timer or one call can add.
  [[nodiscard]] bool has_room() const {
    return kept_.empty() && slab_.size() - used_ >= kRoomBytes &&
           descriptors_.size() - count_ >= kRoomDescriptors;
  }
  // Whether a message of `length` bytes leaves room for so much more.
  [[nodiscard]] bool leaves(std::size_t length, std::size_t bytes, std::size_t descriptors) const {
    const std::size_t free = slab_.size() - used_;
    // Up to 7 bytes are lost before it.
    return kept_.empty() && free >= length + 7 && free - length - 7 >= bytes &&
           descriptors_.size() - count_ > descriptors;
  }
  // A message of `length` bytes that was complete before now was refused: until use() an owner that keeps it
  // need not try again, though has_room() may go on saying yes.
  void want_room(std::size_t length) {
    wanting_ = true;
    wanted_bytes_ = std::max(wanted_bytes_, length);
  }
  [[nodiscard]] bool wanting() const { return wanting_; }
  // The longest message that was refused since use(); the next storage has to hold it.
  [[nodiscard]] std::size_t wanted_bytes() const { return wanted_bytes_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t slab_used() const { return used_; }
  [[nodiscard]] std::span<const EventDescriptor> descriptors() const { return descriptors_.first(count_); }
  [[nodiscard]] Bytes bytes_of(const EventDescriptor& event) const {
    return Bytes(slab_).subspan(event.offset, event.length);
  }
  // The events have been read: goes on with the same storage, as use() does.
  void clear() { use(slab_, descriptors_); }

  // Appends; false (nothing written) when there is no room for it.
  bool push(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second = {});
  // Appends, or keeps the event until there is room. Only for events of which a peer has few, so that what is
  // kept is bounded by the number of peers.
  void put(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second = {});
  // Events kept for want of room.
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }

 private:
  bool write(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second);
  void write_kept();

  MutableBytes slab_;
  std::span<EventDescriptor> descriptors_;
  std::size_t used_ = 0;
  std::size_t count_ = 0;
  bool wanting_ = false;
  std::size_t wanted_bytes_ = 0;
  // Oldest first; their bytes are at their offsets in kept_bytes_.
  std::vector<EventDescriptor> kept_;
  std::vector<std::byte> kept_bytes_;
};

// The 24-byte form in which addresses cross to JavaScript: u8 family, u8 0, u16 port, u32 scope id, ip[16].
constexpr std::size_t kAddressRecordSize = 24;
void write_address_record(std::span<std::byte, kAddressRecordSize> out, const SocketAddress& address);
[[nodiscard]] SocketAddress read_address_record(std::span<const std::byte, kAddressRecordSize> record);

}  // namespace hawser
