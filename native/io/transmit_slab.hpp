// Where JavaScript's send() writes: one record per message, taken in one go at the end of the turn.
#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/shared_memory.hpp"
#include "base/slot_pool.hpp"
#include "base/spsc_ring.hpp"
#include "engine/endpoint.hpp"

namespace hawser {

// Header of 32-bit words: 0 bytes of records, 1 records (JavaScript writes these two, take() and pass_on()
// zero them), 2 whether the endpoint is writable, 3 messages that were refused so far, modulo 2^32 (the
// endpoint's side writes these two). Records: u32 slot, u32 generation, u16 channel, u16 flags, u32 length,
// with kExtended in the flags also u32 time to live in ms (0: none) and u32 confirm id (0: none), then the
// data padded to 4 bytes. With kCommand in the flags, which the native side writes, the data is a PeerCommand
// and there is no channel.
//
// Endpoints on JavaScript's thread can share the memory of the records: JavaScript has the endpoint that
// wrote last take its records before it writes those of another.
//
// For an endpoint on JavaScript's thread, take() is all. For one on another thread, pass_on() copies the
// records into a block that goes there by a ring, and take_passed_on() is called there.
class TransmitSlab {
  struct NoCommands {
    void operator()(Handle /*peer*/, Bytes /*command*/) const {}
  };

 public:
  static constexpr std::size_t kHeaderBytes = 16;
  static constexpr std::size_t kRecordBytes = std::size_t{256} * 1024;
  // Size of the record of an empty message without options.
  static constexpr std::size_t kLeastRecordBytes = 16;
  // JavaScript may be so many turns ahead of an endpoint on another thread.
  static constexpr std::size_t kBlocks = 4;
  static constexpr std::size_t kMostPassedOnBytes = (kBlocks + 1) * kRecordBytes;

  // Where the endpoint runs that takes the records.
  enum class Taker : std::uint8_t { kSameThread, kOtherThread };

  // `header`: memory with kHeaderBytes at `offset`, a multiple of 4. `records`: kRecordBytes.
  TransmitSlab(SharedMemory header, std::size_t offset, SharedMemory records, Taker taker)
      : header_(std::move(header)),
        offset_(offset),
        records_(std::move(records)),
        passage_(taker == Taker::kOtherThread ? std::make_unique<Passage>() : nullptr) {
    assert(offset_ % sizeof(std::uint32_t) == 0 && offset_ + kHeaderBytes <= header_.size());
    assert(records_.size() == kRecordBytes);
    store(kWritable, 1);
  }

  [[nodiscard]] const SharedMemory& record_memory() const { return records_; }

  // On the endpoint's side. The word lies beside those that JavaScript writes at each send(): it is left
  // alone unless it changes.
  void set_writable(bool writable) {
    if (std::exchange(said_writable_, writable) != writable) store(kWritable, writable ? 1 : 0);
  }
  [[nodiscard]] bool writable() const { return load(kWritable) != 0; }

  // Calls visit(Handle, channel, Bytes, SendOptions), which returns whether the message was accepted, for
  // each message, and command(Handle, Bytes) for each command, in their order, and empties the slab. Whatever
  // JavaScript wrote there, nothing beyond the slab is read; a record that says it is longer than the rest
  // ends the walk and counts as refused.
  template <class F, class C = NoCommands>
  void take(F&& visit, C&& command = {}) {
    const Bytes records = written();
    if (records.empty()) return;
    walk(records, visit, command);
    empty();
  }

  // Adds a command behind the records that are there. False when there is no room for it.
  [[nodiscard]] bool add_command(Handle peer, Bytes command) {
    const std::size_t used = load(kUsed);
    const std::size_t size = kRecordHeaderBytes + (command.size() + kAlignment - 1) / kAlignment * kAlignment;
    if (used > kRecordBytes || kRecordBytes - used < size) return false;
    ByteWriter writer(MutableBytes(records_.data() + used, size));
    writer.u32(peer.slot);
    writer.u32(peer.generation);
    writer.u16(0);
    writer.u16(kCommand);
    writer.u32(static_cast<std::uint32_t>(command.size()));
    writer.bytes(command);
    store(kUsed, static_cast<std::uint32_t>(used + size));
    store(kRecords, load(kRecords) + 1);
    return true;
  }

  // Waits for a block where the other side has all of them.
  void pass_on() {
    const Bytes records = written();
    if (records.empty()) return;
    Block* const block = free_block();
    block->assign(records.begin(), records.end());
    [[maybe_unused]] const bool pushed = passage_->passed.push(block);
    assert(pushed && "there are no more blocks than places");
    empty();
  }

  // As take(), of what was passed on, on the endpoint's thread.
  template <class F, class C = NoCommands>
  void take_passed_on(F&& visit, C&& command = {}) {
    Passage& passage = *passage_;
    while (const std::optional<Block*> block = passage.passed.pop()) {
      walk(**block, visit, command);
      [[maybe_unused]] const bool pushed = passage.returned.push(*block);
      assert(pushed && "there are no more blocks than places");
      passage.returns.fetch_add(1, std::memory_order_release);
      passage.returns.notify_one();
    }
  }

 private:
  static constexpr std::size_t kUsed = 0;
  static constexpr std::size_t kRecords = 1;
  static constexpr std::size_t kWritable = 2;
  static constexpr std::size_t kRefused = 3;
  static constexpr std::size_t kAlignment = 4;
  static constexpr std::uint32_t kExtended = 1;
  static constexpr std::uint32_t kCommand = 2;
  static constexpr std::size_t kRecordHeaderBytes = 16;

  // Records on their way to the other side.
  using Block = std::vector<std::byte>;

  struct Passage {
    std::vector<std::unique_ptr<Block>> blocks;
    SpscRing<Block*, kBlocks> passed;
    SpscRing<Block*, kBlocks> returned;
    std::atomic<std::uint32_t> returns = 0;
  };

  [[nodiscard]] Bytes written() const {
    const std::size_t used = load(kUsed);
    return {records_.data(), used < kRecordBytes ? used : kRecordBytes};
  }
  void empty() {
    store(kUsed, 0);
    store(kRecords, 0);
  }

  template <class F, class C>
  void walk(Bytes records, F&& visit, C&& command) {
    std::uint32_t refused = 0;
    ByteReader reader(records);
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
      if ((flags & kCommand) != 0) {
        command(peer, data);
      } else if (!visit(peer, channel, data, options)) {
        ++refused;
      }
      reader.skip((kAlignment - length % kAlignment) % kAlignment);
    }
    if (refused > 0) store(kRefused, load(kRefused) + refused);
  }

  Block* free_block() {
    Passage& passage = *passage_;
    for (;;) {
      const std::uint32_t seen = passage.returns.load(std::memory_order_acquire);
      if (const std::optional<Block*> block = passage.returned.pop()) return *block;
      if (passage.blocks.size() < kBlocks)
        return passage.blocks.emplace_back(std::make_unique<Block>()).get();
      // The other side never waits for this one.
      passage.returns.wait(seen, std::memory_order_acquire);
    }
  }

  // A word may be written on one thread while the other reads it. Not std::atomic_ref, which the libc++ of
  // macOS does not have.
  [[nodiscard]] std::atomic<std::uint32_t>& word(std::size_t index) const {
    static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t) &&
                  std::atomic<std::uint32_t>::is_always_lock_free);
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(header_.data() + offset_ +
                                                          index * sizeof(std::uint32_t));
  }
  [[nodiscard]] std::uint32_t load(std::size_t index) const {
    return word(index).load(std::memory_order_relaxed);
  }
  void store(std::size_t index, std::uint32_t value) { word(index).store(value, std::memory_order_relaxed); }

  SharedMemory header_;
  std::size_t offset_;
  SharedMemory records_;
  bool said_writable_ = true;
  // Null unless the endpoint is on another thread.
  std::unique_ptr<Passage> passage_;
};

}  // namespace hawser
