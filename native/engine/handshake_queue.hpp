#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/address.hpp"
#include "base/buffer_pool.hpp"
#include "base/siphash.hpp"
#include "engine/datagram.hpp"

namespace hawser {

// Handshake datagrams that wait for their turn's budget (docs/protocol.md section 7, "Budget"). Places belong
// to source prefixes, hashed into 64 bins that are served in turn, first in first out within a bin. Nothing
// is lost before all places are taken; then the newest datagram of the fullest bin gives way, so whoever
// floods displaces himself.
class HandshakeQueue {
 public:
  static constexpr std::size_t kPlaces = 512;
  static constexpr std::size_t kDatagramBytes = 1200;

  // `key`: secret and random, so that nobody can aim at the bin of another.
  explicit HandshakeQueue(const SipKey& key);
  HandshakeQueue(const HandshakeQueue&) = delete;
  HandshakeQueue& operator=(const HandshakeQueue&) = delete;
  ~HandshakeQueue() = default;

  // Copies a datagram of at most 1,200 bytes into the queue. True when one was lost by it: the newest of the
  // fullest bin, which may be this one. Memory is taken in chunks when first needed.
  bool push(const ReceivedDatagram& datagram);

  // Takes the next datagram; false when there is none. Its bytes stay valid until the next call of this or
  // release_idle().
  bool pop(ReceivedDatagram& out);

  [[nodiscard]] std::size_t size() const { return size_; }
  // The most that ever waited at once.
  [[nodiscard]] std::size_t peak() const { return peak_; }

  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const {
    return buffers_.allocated_bytes() + (places_ ? sizeof(*places_) : 0);
  }

  // Releases memory that was not needed since the last call, all of it when no datagram came since then.
  void release_idle();

 private:
  using Index = std::uint16_t;
  static constexpr Index kNone = UINT16_MAX;
  static constexpr std::size_t kBins = 64;

  struct Place {
    Buffer buffer;
    SocketAddress remote;
    SocketAddress local;
    std::uint8_t ecn = 0;
    Index previous = kNone;
    Index next = kNone;  // of the same bin, towards the newest; of the free list when free
  };
  struct Bin {
    Index oldest = kNone;
    Index newest = kNone;
    std::uint16_t count = 0;
  };

  void allocate_places();
  [[nodiscard]] std::size_t fullest_bin() const;
  void append(std::size_t bin, const ReceivedDatagram& datagram);
  void drop_newest(std::size_t bin);
  void free_place(Index index);

  SipKey key_;
  BufferPool buffers_;
  std::unique_ptr<std::array<Place, kPlaces>> places_;
  Buffer served_;  // of the datagram that pop gave out last
  std::array<Bin, kBins> bins_{};
  std::uint64_t waiting_bins_ = 0;  // bit b: bin b is not empty
  std::size_t next_bin_ = 0;
  Index free_ = kNone;
  std::size_t size_ = 0;
  std::size_t peak_ = 0;
  bool pushed_ = false;  // since the last release_idle()
};

}  // namespace hawser
