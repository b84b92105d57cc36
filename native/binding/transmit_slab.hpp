// Where JavaScript's send() writes: one record per message, taken in one go at the end of the turn.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.hpp"
#include "base/slot_pool.hpp"
#include "binding/shared_memory.hpp"
#include "engine/endpoint.hpp"

namespace hawser::binding {

// Header, 64 bytes, of 32-bit words: 0 bytes of records, 1 records (JavaScript writes these two, take()
// zeroes them), 2 whether the endpoint is writable, 3 messages that were refused so far, modulo 2^32. Then
// the records: u32 slot, u32 generation, u16 channel, u16 flags, u32 length, with kExtended in the flags also
// u32 time to live in ms (0: none) and u32 confirm id (0: none), then the data padded to 4 bytes.
class TransmitSlab {
 public:
  static constexpr std::size_t kHeaderBytes = 64;
  static constexpr std::size_t kRecordBytes = std::size_t{256} * 1024;

  [[nodiscard]] const SharedMemory& memory() const { return memory_; }

  void set_writable(bool writable) { set_word(kWritable, writable ? 1 : 0); }

  // Calls visit(Handle, channel, Bytes, SendOptions), which returns whether the message was accepted, for
  // each record, and empties the slab. Whatever JavaScript wrote there, nothing beyond the slab is read; a
  // record that says it is longer than the rest ends the walk and counts as refused.
  template <class F>
  void take(F&& visit) {
    std::size_t used = word(kUsed);
    if (used == 0) return;
    if (used > kRecordBytes) used = kRecordBytes;
    std::uint32_t refused = 0;
    ByteReader reader(Bytes(memory_.data() + kHeaderBytes, used));
    while (reader.remaining() > 0) {
      Handle peer;
      peer.slot = reader.u32();
      peer.generation = reader.u32();
      const std::uint32_t channel = reader.u16();
      const std::uint32_t flags = reader.u16();
      const std::uint32_t length = reader.u32();
      SendOptions options;
      if ((flags & kExtended) != 0) {
        options.ttl = std::chrono::milliseconds(reader.u32());
        options.confirm = reader.u32();
      }
      const Bytes data = reader.bytes(length);
      if (!reader.ok()) {
        ++refused;
        break;
      }
      if (!visit(peer, channel, data, options)) ++refused;
      reader.skip((kAlignment - length % kAlignment) % kAlignment);
    }
    set_word(kUsed, 0);
    set_word(kRecords, 0);
    set_word(kRefused, word(kRefused) + refused);
  }

 private:
  static constexpr std::size_t kUsed = 0;
  static constexpr std::size_t kRecords = 1;
  static constexpr std::size_t kWritable = 2;
  static constexpr std::size_t kRefused = 3;
  static constexpr std::size_t kAlignment = 4;
  static constexpr std::uint32_t kExtended = 1;

  [[nodiscard]] std::uint32_t word(std::size_t index) const {
    std::uint32_t value = 0;
    std::memcpy(&value, memory_.data() + index * sizeof(value), sizeof(value));
    return value;
  }
  void set_word(std::size_t index, std::uint32_t value) {
    std::memcpy(memory_.data() + index * sizeof(value), &value, sizeof(value));
  }

  SharedMemory memory_{kHeaderBytes + kRecordBytes};
};

}  // namespace hawser::binding
