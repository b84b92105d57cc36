#include "engine/tap.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "crypto/secret.hpp"
#include "engine/events.hpp"

namespace hawser {

namespace {

constexpr std::size_t kAlignment = 8;
constexpr std::size_t kLeastRing = std::size_t{256} * 1024;

constexpr std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) & ~(kAlignment - 1); }

bool is_of(const SocketAddress& remote, const SocketAddress& only) {
  if (only.family == SocketAddress::Family::kNone) return true;
  return remote.family == only.family && remote.ip == only.ip && (only.port == 0 || remote.port == only.port);
}

}  // namespace

Tap::Tap(const TapOptions& options, std::function<std::uint64_t()> unix_micros)
    : options_(options),
      unix_micros_(std::move(unix_micros)),
      // Not set to zero: pages that are never needed are never had.
      ring_(new std::byte[options.ring_bytes]) {
  assert(options.ring_bytes >= kLeastRing && (options.ring_bytes & (options.ring_bytes - 1)) == 0);
}

Tap::~Tap() {
  // A ring that was never full has not been touched beyond what was written.
  const std::size_t written = std::min(end_.load(std::memory_order_acquire), options_.ring_bytes);
  wipe(MutableBytes(ring_.get(), written));
}

void Tap::received(const ReceivedDatagram& datagram) {
  put({.kind = TapKind::kDatagram,
       .direction = TapDirection::kReceived,
       .detail = datagram.ecn,
       .remote = datagram.remote,
       .local = datagram.local,
       .id = {}},
      datagram.bytes);
}

void Tap::sent(Bytes datagram, const SocketAddress& remote, const SocketAddress& local, std::uint8_t ecn) {
  put({.kind = TapKind::kDatagram,
       .direction = TapDirection::kSent,
       .detail = ecn,
       .remote = remote,
       .local = local,
       .id = {}},
      datagram);
}

void Tap::packet(TapDirection direction, const SocketAddress& remote, const SocketAddress& local,
                 const ConnectionId& id, std::uint32_t epoch, std::uint64_t number, Bytes frames) {
  put({.kind = TapKind::kHawserPacket,
       .direction = direction,
       .detail = id.length,
       .remote = remote,
       .local = local,
       .number = number,
       .epoch = epoch,
       .id = id.view()},
      frames);
}

void Tap::netcode_packet(TapDirection direction, const SocketAddress& remote, const SocketAddress& local,
                         std::uint8_t type, std::uint64_t sequence, Bytes body) {
  put({.kind = TapKind::kNetcodePacket,
       .direction = direction,
       .detail = type,
       .remote = remote,
       .local = local,
       .number = sequence,
       .id = {}},
      body);
}

void Tap::put(const Header& header, Bytes bytes) {
  if (!is_of(header.remote, options_.only)) return;
  const std::size_t kept = std::min<std::size_t>(bytes.size(), options_.snap_length);
  const std::size_t size = aligned(kTapHeaderSize + kept);
  const std::optional<std::size_t> position = reserve(size);
  if (!position) {
    // The one writer: no other thread adds in between.
    dropped_.store(dropped() + 1, std::memory_order_relaxed);
    return;
  }
  ByteWriter writer(MutableBytes(at(*position), size));
  writer.u32(static_cast<std::uint32_t>(size));
  writer.u8(static_cast<std::uint8_t>(header.kind));
  writer.u8(static_cast<std::uint8_t>(header.direction));
  writer.u8(header.detail);
  writer.u8(0);
  writer.u64(unix_micros_());
  writer.u32(static_cast<std::uint32_t>(bytes.size()));
  writer.u32(static_cast<std::uint32_t>(kept));
  for (const SocketAddress* address : {&header.remote, &header.local})
    write_address_record(writer.space(kAddressRecordSize).first<kAddressRecordSize>(), *address);
  writer.u64(header.number);
  writer.u32(header.epoch);
  writer.u32(0);
  writer.bytes(header.id);
  writer.zeros(kTapHeaderSize - writer.position());
  writer.bytes(bytes.first(kept));
  writer.zeros(size - writer.position());
  end_.store(*position + size, std::memory_order_release);
}

std::optional<std::size_t> Tap::reserve(std::size_t size) {
  const std::size_t end = end_.load(std::memory_order_relaxed);
  const std::size_t begin = begin_.load(std::memory_order_acquire);
  const std::size_t to_edge = options_.ring_bytes - (end & (options_.ring_bytes - 1));
  // A record lies in one piece: what is left before the edge of the ring may have to be skipped.
  const std::size_t skipped = to_edge < size ? to_edge : 0;
  if (end + skipped + size - begin > options_.ring_bytes) return std::nullopt;
  if (skipped > 0) {
    ByteWriter writer(MutableBytes(at(end), kAlignment));
    writer.u32(static_cast<std::uint32_t>(skipped));
    writer.u32(static_cast<std::uint32_t>(TapKind::kSkip));
  }
  return end + skipped;
}

std::size_t Tap::read(MutableBytes out) {
  const std::size_t end = end_.load(std::memory_order_acquire);
  std::size_t begin = begin_.load(std::memory_order_relaxed);
  std::size_t copied = 0;
  while (begin != end) {
    std::byte* const from = at(begin);
    const auto size = load_little_endian<std::uint32_t>(from);
    const bool skip = static_cast<TapKind>(from[4]) == TapKind::kSkip;
    if (!skip) {
      if (size > out.size() - copied) break;
      std::memcpy(out.data() + copied, from, size);
      copied += size;
      if (options_.plaintext) wipe(MutableBytes(from, size));
    }
    begin += size;
  }
  begin_.store(begin, std::memory_order_release);
  return copied;
}

}  // namespace hawser
