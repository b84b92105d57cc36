// What a capture sees of an endpoint: its datagrams as they come and go, and, where that is asked for, the
// packets inside them as they are without their seal.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "engine/datagram.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

enum class TapDirection : std::uint8_t { kReceived = 0, kSent = 1 };

// What a record of a tap holds. The layout of a record, least significant byte first:
//   0 u32 size, a multiple of 8    4 u8 TapKind    5 u8 TapDirection    6 u8 the ECN bits of a datagram, the
//   length of the connection id of a HAWSER packet, or the type of a netcode packet    7 u8 0
//   8 u64 Unix microseconds    16 u32 bytes there were    20 u32 bytes that follow
//   24 the other side's address    48 this side's address (24-byte form; family 0 where it is not known)
//   72 u64 packet or sequence number    80 u32 key epoch    84 u32 0    88 connection id, padded with zeros
// A record with kSkip has nothing but its first 8 bytes, and is read over.
enum class TapKind : std::uint8_t { kSkip = 0, kDatagram = 1, kHawserPacket = 2, kNetcodePacket = 3 };

inline constexpr std::size_t kTapHeaderSize = 104;

struct TapOptions {
  // Also packets without their seal.
  bool plaintext = false;
  // At most so many bytes of each datagram and packet, 64 to 65,535.
  std::uint32_t snap_length = 65'535;
  // Of records that wait to be read: a power of two, 256 KiB at least.
  std::size_t ring_bytes = std::size_t{4} * 1024 * 1024;
  // Only what comes from or goes to this address; its port 0 stands for every port. Family kNone: everything.
  SocketAddress only;
};

// A ring between an endpoint, which writes on its thread, and one reader on perhaps another. The writer never
// waits: what finds no room is counted and left out. With plaintext, what has been read is wiped.
class Tap {
 public:
  // `unix_micros` is the time of each record; it is called on the endpoint's thread.
  Tap(const TapOptions& options, std::function<std::uint64_t()> unix_micros);
  ~Tap();
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  // ---- The endpoint's thread.

  [[nodiscard]] bool wants_plaintext() const { return options_.plaintext; }
  // Before its bytes are opened in place.
  void received(const ReceivedDatagram& datagram);
  void sent(Bytes datagram, const SocketAddress& remote, const SocketAddress& local, std::uint8_t ecn);
  // The frames of a session packet that has been opened, or is about to be sealed.
  void packet(TapDirection direction, const SocketAddress& remote, const SocketAddress& local,
              const ConnectionId& id, std::uint32_t epoch, std::uint64_t number, Bytes frames);
  void netcode_packet(TapDirection direction, const SocketAddress& remote, const SocketAddress& local,
                      std::uint8_t type, std::uint64_t sequence, Bytes body);

  // ---- The reader's thread.

  // Copies the oldest records, as many as fit whole, and forgets them. Returns the bytes copied; 0 when there
  // are none, or `out` has no room for the first: kTapHeaderSize + 65,536 bytes are always enough.
  std::size_t read(MutableBytes out);
  // Records that were left out so far, for want of room.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Header {
    TapKind kind{};
    TapDirection direction{};
    std::uint8_t detail = 0;
    const SocketAddress& remote;
    const SocketAddress& local;
    std::uint64_t number = 0;
    std::uint32_t epoch = 0;
    Bytes id;
  };
  void put(const Header& header, Bytes bytes);
  // The position at which a record of so many bytes goes; nothing without room.
  [[nodiscard]] std::optional<std::size_t> reserve(std::size_t size);
  [[nodiscard]] std::byte* at(std::size_t position) {
    return ring_.get() + (position & (options_.ring_bytes - 1));
  }

  const TapOptions options_;
  const std::function<std::uint64_t()> unix_micros_;
  const std::unique_ptr<std::byte[]> ring_;
  // Positions count all bytes ever written and read; both are multiples of 8.
  static constexpr std::size_t kLine = 64;
  alignas(kLine) std::atomic<std::size_t> end_ = 0;
  std::atomic<std::uint64_t> dropped_ = 0;
  alignas(kLine) std::atomic<std::size_t> begin_ = 0;
};

}  // namespace hawser
