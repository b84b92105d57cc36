#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/pooled.hpp"
#include "base/ring.hpp"
#include "engine/channels.hpp"
#include "engine/credit.hpp"
#include "engine/pending_message.hpp"
#include "engine/progress_monitor.hpp"

namespace hawser {

// What came of a frame.
enum class Received : std::uint8_t {
  kDone,
  kRepeated,       // delivered or expired before
  kOutdated,       // sequenced: not above the newest
  kUserFull,       // sequenced: complete, and the user has no room for it
  kProtocolError,  // the sender broke a rule
  kNoMemory,       // no room for it, which for reliable channels Transfer::has_room should have told
};

// The receiving end of a reliable, reliable-unordered or sequenced channel: what has arrived and cannot be
// delivered yet, and which numbers have been dealt with. `deliver(Bytes, bool kept)` hands a message to the
// user and returns whether there was room for it; it is not called while the channel is paused. `kept`: the
// message comes from the memory for such messages and can stay there.
class ReceiveChannel {
 public:
  ReceiveChannel(std::uint16_t number, const ChannelDeclaration& declaration, std::uint32_t credit)
      : credit_(credit, declaration.max_message_bytes + static_cast<std::uint32_t>(kMessageCost)),
        max_message_(declaration.max_message_bytes),
        max_ahead_(credit / kMessageCost),
        number_(number),
        mode_(declaration.mode) {}
  ReceiveChannel(const ReceiveChannel&) = delete;
  ReceiveChannel& operator=(const ReceiveChannel&) = delete;
  ~ReceiveChannel() {
    while (!pages_.empty()) drop_page();
  }

  [[nodiscard]] std::uint16_t number() const { return number_; }
  [[nodiscard]] ChannelMode mode() const { return mode_; }
  [[nodiscard]] Credit& credit() { return credit_; }
  // How far the number of a message may be ahead of the oldest one that is missing.
  [[nodiscard]] std::uint64_t max_ahead() const { return max_ahead_; }
  // Raises both limits to what the window allows; the number never becomes less.
  void raise_limits(Instant now) {
    credit_.raise(now);
    max_ahead_ = std::max<std::uint64_t>(max_ahead_, credit_.window / kMessageCost);
  }
  // The least number that is not delivered or expired; of a sequenced channel, that is not outdated.
  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] bool paused() const { return paused_; }
  void set_paused(bool paused) { paused_ = paused; }
  // Whether a complete message waits for room or for the end of a pause.
  [[nodiscard]] bool waiting() const { return waiting_; }
  // Whether a whole message of this number would be delivered at once, or ignored, without taking memory.
  [[nodiscard]] bool is_next(std::uint64_t number) {
    return !paused_ && !waiting_ && (number < next_ || (number == next_ && !has_begun(number)));
  }
  // Whether nothing is kept here, so that messages which follow each other are delivered one by one.
  [[nodiscard]] bool empty() const { return pages_.empty(); }

  // Upper limit of the memory that `count` whole messages of `bytes` bytes in all take from `number` on ...
  [[nodiscard]] MemoryNeed memory_for_messages(std::uint64_t number, std::uint64_t count, std::size_t bytes) {
    // Messages too long for a page take a PendingMessage each, and a block of less than twice their length.
    const std::size_t most_long = std::min<std::size_t>(count, bytes / kMostStored);
    MemoryNeed needed = memory_for_pages(number, count);
    needed.of(MemoryKind::kWhole) += most_long * Pooled<PendingMessage>::memory() + 2 * bytes;
    // A page's store grows by doubling, and is copied.
    const std::uint64_t last = number + count - 1;
    if (last < next_ || is_too_far(last)) return needed;
    for (std::uint64_t page = std::max(number, next_) / kPageSize; page <= last / kPageSize; ++page) {
      const Page* const known = find(page * kPageSize);
      needed.of(MemoryKind::kWhole) += 2 * BlockPool::kLeast;
      if (known != nullptr) needed.of(MemoryKind::kWhole) += 3 * std::size_t{known->stored_bytes};
    }
    needed.of(MemoryKind::kWhole) += bytes;
    return needed;
  }
  // ... a part of a message ...
  [[nodiscard]] MemoryNeed memory_for_part(std::uint64_t number, std::uint32_t total) {
    if (number < next_) return {};
    if (Page* const page = find(number); page != nullptr && (page->is_there(number) || page->at(number)))
      return {};
    MemoryNeed needed = memory_for_pages(number, 1);
    needed += memory_for_new(total);
    return needed;
  }
  // ... a part of a sequenced one ...
  [[nodiscard]] MemoryNeed memory_for_sequenced(std::uint64_t number, std::uint32_t total) const {
    if (number < next_ || (partial_ && number <= partial_number_)) return {};
    return memory_for_new(total);
  }
  // ... or the news that `count` messages from `number` on have expired.
  [[nodiscard]] MemoryNeed memory_for_pages(std::uint64_t number, std::uint64_t count) {
    const std::uint64_t last = number + count - 1;
    MemoryNeed needed;
    // What breaks a rule is not kept.
    if (last < next_ || is_too_far(last)) return needed;
    const std::uint64_t first = pages_.empty() ? next_ / kPageSize : first_page_;
    const auto entries = static_cast<std::size_t>(last / kPageSize - first + 1);
    std::size_t bytes = 0;
    if (entries > pages_.capacity())
      bytes += 2 * BlockPool::size_for(std::max(entries * Ring<Page*>::kElementBytes, kLeastRing));
    for (std::uint64_t page = std::max(number, next_) / kPageSize; page <= last / kPageSize; ++page) {
      if (find(page * kPageSize) == nullptr) bytes += BlockPool::size_for(sizeof(Page));
    }
    needed.of(MemoryKind::kWhole) = bytes;
    return needed;
  }

  // Whether there is memory for the message already.
  [[nodiscard]] bool has_begun(std::uint64_t number) {
    Page* const page = find(number);
    return page != nullptr && (page->is_ready(number) || page->at(number));
  }

  // Whether the peer owes the rest of a message: the oldest one that is missing here, or parts of it, keeps
  // others from being delivered or holds memory.
  [[nodiscard]] bool is_unfinished() {
    if (kept_ == 0) return false;
    Page* const page = find(next_);
    return page == nullptr || !page->is_ready(next_);
  }
  // Judges whether unfinished messages go on; called once per ProgressMonitor::kInterval that counts. False
  // when they do not.
  [[nodiscard]] bool check_progress() {
    if (mode_ == ChannelMode::kSequenced) {
      drop_stale_parts();
      return true;
    }
    // It waits for this side's user.
    if (paused_ || waiting_) return true;
    return monitor_.on_interval(is_unfinished(), progress_, ProgressMonitor::kLeastBytes);
  }

  // A whole message.
  template <class F>
  Received on_message(ReceiveMemory& memory, Credit& connection, std::uint64_t number, Bytes data,
                      F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (data.size() > max_message_) return Received::kProtocolError;
    // What is next needs no memory, whatever waits behind it.
    if (number == next_ && is_next(number)) {
      if (!count(connection, data.size())) return Received::kProtocolError;
      if (deliver(data, false)) {
        ++next_;
        progress_ += data.size() + kMessageCost;
        consume(connection, data.size());
        if (!pages_.empty()) go_on(connection, deliver);
        return Received::kDone;
      }
      uncount(connection, data.size());
    }
    return on_part(memory, connection, number, static_cast<std::uint32_t>(data.size()), 0, data, deliver);
  }

  // One part of a message; offset + data.size() <= total.
  template <class F>
  Received on_part(ReceiveMemory& memory, Credit& connection, std::uint64_t number, std::uint32_t total,
                   std::uint32_t offset, Bytes data, F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (total > max_message_ || is_too_far(number)) return Received::kProtocolError;
    Page* const page = page_of(memory.of(MemoryKind::kWhole), number);
    if (page == nullptr) return Received::kNoMemory;
    if (page->is_done(number)) return Received::kRepeated;
    if (page->is_ready(number))
      return page->length(number) == total ? Received::kRepeated : Received::kProtocolError;
    Pooled<PendingMessage>& message = page->at(number);
    if (!message) {
      if (!count(connection, total)) return Received::kProtocolError;
      if (data.size() == total) {
        // Not past one that waits for room: a long one might wait for ever.
        if (mode_ == ChannelMode::kReliableUnordered && !paused_ && !waiting_ && deliver(data, false)) {
          ++kept_;
          finish(connection, *page, number, total);
          go_on(connection, deliver);
          return Received::kDone;
        }
        if (total <= kMostStored) {
          if (!page->store(memory.of(MemoryKind::kWhole), number, data)) return Received::kNoMemory;
          ++kept_;
          on_ready(connection, *page, number, deliver);
          return Received::kDone;
        }
      }
      message = Pooled<PendingMessage>::make(memory.of(MemoryKind::kWhole), total);
      if (!message) return Received::kNoMemory;
      ++kept_;
    }
    if (message->total() != total) return Received::kProtocolError;
    const std::uint32_t before = message->received();
    switch (message->add(for_bytes(memory, total, data), offset, data)) {
      case PendingMessage::Added::kDone:
        break;
      case PendingMessage::Added::kNoMemory:
        return Received::kNoMemory;
      case PendingMessage::Added::kTooMany:
        return Received::kProtocolError;
    }
    if (number == next_) progress_ += message->received() - before;
    if (message->complete()) on_ready(connection, *page, number, deliver);
    return Received::kDone;
  }

  // The sender gave the message up.
  template <class F>
  Received on_expired(ReceiveMemory& memory, Credit& connection, std::uint64_t number, std::uint32_t length,
                      F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (length > max_message_ || is_too_far(number)) return Received::kProtocolError;
    Page* const page = page_of(memory.of(MemoryKind::kWhole), number);
    if (page == nullptr) return Received::kNoMemory;
    if (page->is_done(number)) return Received::kRepeated;
    // It was complete in time: it is delivered as any other.
    if (page->is_ready(number))
      return page->length(number) == length ? Received::kDone : Received::kProtocolError;
    if (const Pooled<PendingMessage>& message = page->at(number)) {
      if (message->total() != length) return Received::kProtocolError;
    } else {
      if (!count(connection, length)) return Received::kProtocolError;
      ++kept_;
    }
    finish(connection, *page, number, length);
    go_on(connection, deliver);
    return Received::kDone;
  }

  // A message of a sequenced channel, or a part of one.
  template <class F>
  Received on_sequenced(ReceiveMemory& memory, std::uint64_t number, std::uint32_t total,
                        std::uint32_t offset, Bytes data, F&& deliver) {
    if (total > max_message_) return Received::kProtocolError;
    if (number < next_) return number + 1 == next_ ? Received::kRepeated : Received::kOutdated;
    if (data.size() == total) {
      if (!deliver(data, false)) return Received::kUserFull;
      // The parts of a newer one stay.
      if (partial_number_ <= number) partial_.reset();
      next_ = number + 1;
      return Received::kDone;
    }
    if (partial_ && number < partial_number_) return Received::kOutdated;
    if (!partial_ || number > partial_number_) {
      partial_ = Pooled<PendingMessage>::make(memory.of(MemoryKind::kWhole), total);
      partial_number_ = number;
      if (!partial_) return Received::kNoMemory;
    }
    if (partial_->total() != total) return Received::kProtocolError;
    const std::uint32_t before = partial_->received();
    switch (partial_->add(for_bytes(memory, total, data), offset, data)) {
      case PendingMessage::Added::kDone:
        break;
      case PendingMessage::Added::kNoMemory:
        partial_.reset();
        return Received::kNoMemory;
      case PendingMessage::Added::kTooMany:
        return Received::kProtocolError;
    }
    progress_ += partial_->received() - before;
    if (!partial_->complete()) return Received::kDone;
    const bool delivered = deliver(partial_->bytes(), true);
    partial_.reset();
    next_ = number + 1;
    return delivered ? Received::kDone : Received::kUserFull;
  }

  // Delivers what can be delivered now. False when something still waits for room.
  template <class F>
  bool deliver_waiting(Credit& connection, F&& deliver) {
    waiting_ = false;
    deliver_ready(connection, deliver);
    return !waiting_ || paused_;
  }

 private:
  static constexpr std::uint64_t kPageSize = 64;
  static constexpr std::uint64_t kNoPage = UINT64_MAX;
  // The longest message that a page keeps itself when it arrives whole.
  static constexpr std::size_t kMostStored = 512;
  // The least that a Ring takes.
  static constexpr std::size_t kLeastRing = 256;

  // The messages of 64 numbers. A page owns the memory it lies in. Short messages that arrived whole lie one
  // behind the other in one block, so that each costs little more than its length.
  class Page {
   public:
    explicit Page(Block&& own) : memory(std::move(own)) {}

    // Message that arrives in parts or is too long for the block.
    [[nodiscard]] Pooled<PendingMessage>& at(std::uint64_t number) { return messages_[number % kPageSize]; }
    [[nodiscard]] bool is_done(std::uint64_t number) const { return (done_ & bit(number)) != 0; }
    // Complete and not delivered.
    [[nodiscard]] bool is_ready(std::uint64_t number) const { return (ready_ & bit(number)) != 0; }
    [[nodiscard]] bool is_there(std::uint64_t number) const { return ((done_ | ready_) & bit(number)) != 0; }
    void set_ready(std::uint64_t number) { ready_ |= bit(number); }
    // Offset of the first message that is ready; kPageSize for none.
    [[nodiscard]] std::uint64_t first_ready() const {
      return ready_ == 0 ? kPageSize : static_cast<std::uint64_t>(std::countr_zero(ready_));
    }

    // Of a message that is ready.
    [[nodiscard]] Bytes bytes(std::uint64_t number) {
      if (const Pooled<PendingMessage>& message = at(number)) return message->bytes();
      const Stored& entry = stored_[number % kPageSize];
      return Bytes(store_.data(), stored_bytes).subspan(entry.offset, entry.length);
    }
    [[nodiscard]] std::uint32_t length(std::uint64_t number) {
      const Pooled<PendingMessage>& message = at(number);
      return message ? message->total() : stored_[number % kPageSize].length;
    }

    // Copies a message of at most kMostStored bytes; it is ready then. False when the pool has no memory.
    [[nodiscard]] bool store(BlockPool& pool, std::uint64_t number, Bytes data) {
      if (const std::size_t needed = stored_bytes + data.size(); needed > store_.size()) {
        Block larger = pool.acquire(needed);
        if (!larger) return false;
        std::copy_n(store_.data(), stored_bytes, larger.data());
        store_ = std::move(larger);
      }
      std::ranges::copy(data, store_.data() + stored_bytes);
      stored_[number % kPageSize] = {stored_bytes, static_cast<std::uint16_t>(data.size())};
      stored_bytes = static_cast<std::uint16_t>(stored_bytes + data.size());
      ++stored_count_;
      set_ready(number);
      return true;
    }

    // The message is delivered or has expired: its memory is given back.
    void finish(std::uint64_t number) {
      if (Pooled<PendingMessage>& message = at(number)) {
        message.reset();
      } else if (is_ready(number) && --stored_count_ == 0) {
        store_.reset();
        stored_bytes = 0;
      }
      ready_ &= ~bit(number);
      done_ |= bit(number);
    }

    Block memory;
    std::uint16_t stored_bytes = 0;

   private:
    struct Stored {
      std::uint16_t offset;
      std::uint16_t length;
    };

    static std::uint64_t bit(std::uint64_t number) { return std::uint64_t{1} << (number % kPageSize); }

    std::uint16_t stored_count_ = 0;
    Block store_;
    std::uint64_t done_ = 0;
    std::uint64_t ready_ = 0;
    std::array<Pooled<PendingMessage>, kPageSize> messages_;
    std::array<Stored, kPageSize> stored_{};
  };
  static_assert(sizeof(Page) <= 1024, "16 bytes for each number");
  static_assert(kPageSize * kMostStored <= UINT16_MAX);

  // Memory that the bytes of a new message lie in.
  static BlockPool& for_bytes(ReceiveMemory& memory, std::uint32_t total, Bytes data) {
    return data.size() == total ? memory.of(MemoryKind::kWhole) : memory.for_parts(total);
  }
  static MemoryNeed memory_for_new(std::uint32_t total) {
    MemoryNeed needed;
    needed.of(MemoryKind::kWhole) = Pooled<PendingMessage>::memory();
    needed.of(ReceiveMemory::kind_of(total)) += PendingMessage::memory_for(total);
    return needed;
  }

  bool count(Credit& connection, std::uint64_t length) {
    credit_.received += length + kMessageCost;
    connection.received += length + kMessageCost;
    return credit_.received <= credit_.limit && connection.received <= connection.limit;
  }
  void uncount(Credit& connection, std::uint64_t length) {
    credit_.received -= length + kMessageCost;
    connection.received -= length + kMessageCost;
  }
  void consume(Credit& connection, std::uint64_t length) {
    credit_.consumed += length + kMessageCost;
    connection.consumed += length + kMessageCost;
  }

  // The first number of which something is missing is the measure: messages before it may still wait here.
  [[nodiscard]] bool is_too_far(std::uint64_t number) const {
    const std::uint64_t missing = std::max(missing_, next_);
    return number > missing && number - missing > max_ahead_;
  }
  void find_missing() {
    missing_ = std::max(missing_, next_);
    for (const Page* page = find(missing_); page != nullptr && page->is_there(missing_);
         page = find(missing_))
      ++missing_;
  }

  // A message was delivered or given up.
  void finish(Credit& connection, Page& page, std::uint64_t number, std::uint64_t length) {
    if (number == next_) progress_ += kMessageCost;
    if (page.is_ready(number)) --ready_;
    page.finish(number);
    consume(connection, length);
  }

  // A message has become complete.
  template <class F>
  void on_ready(Credit& connection, Page& page, std::uint64_t number, F& deliver) {
    page.set_ready(number);
    ++ready_;
    first_ready_page_ = std::min(first_ready_page_, number / kPageSize);
    go_on(connection, deliver);
  }

  // After a number was dealt with, or has become complete.
  template <class F>
  void go_on(Credit& connection, F& deliver) {
    find_missing();
    skip_done();
    // One that waits for room holds up all behind it.
    if (!waiting_) deliver_ready(connection, deliver);
  }

  template <class F>
  void deliver_ready(Credit& connection, F& deliver) {
    if (mode_ == ChannelMode::kReliableUnordered) {
      while (ready_ > 0) {
        Page* const page = find(first_ready_page_ * kPageSize);
        if (page == nullptr || page->first_ready() == kPageSize) {
          ++first_ready_page_;
          continue;
        }
        if (!deliver_one(connection, *page, first_ready_page_ * kPageSize + page->first_ready(), deliver))
          return skip_done();
      }
      first_ready_page_ = kNoPage;
      return skip_done();
    }
    for (;;) {
      skip_done();
      Page* const page = find(next_);
      if (page == nullptr || !page->is_ready(next_)) return;
      if (!deliver_one(connection, *page, next_, deliver)) return;
    }
  }

  template <class F>
  bool deliver_one(Credit& connection, Page& page, std::uint64_t number, F& deliver) {
    if (paused_ || !deliver(page.bytes(number), true)) {
      waiting_ = true;
      return false;
    }
    finish(connection, page, number, page.length(number));
    return true;
  }

  // Moves on to the first number that is not dealt with, and drops the pages before it; all of them when
  // nothing is in any.
  void skip_done() {
    for (const Page* page = find(next_); page != nullptr && page->is_done(next_); page = find(next_)) {
      ++next_;
      --kept_;
      drop_old_pages();
    }
    drop_old_pages();
    while (kept_ == 0 && !pages_.empty()) drop_page();
  }

  void drop_old_pages() {
    while (!pages_.empty() && first_page_ < next_ / kPageSize) drop_page();
  }

  void drop_page() {
    if (Page* const page = pages_.front(); page != nullptr) {
      const Block memory = std::move(page->memory);
      page->~Page();
    }
    pages_.pop();
    ++first_page_;
  }

  // Frees the parts of a sequenced message that no other part has followed: its sender does not repeat those
  // that were lost.
  void drop_stale_parts() {
    if (partial_ && progress_ == stale_mark_) partial_.reset();
    stale_mark_ = progress_;
  }

  // nullptr when the pool has no memory.
  Page* page_of(BlockPool& pool, std::uint64_t number) {
    if (pages_.empty()) first_page_ = next_ / kPageSize;
    const std::uint64_t index = number / kPageSize - first_page_;
    while (pages_.size() <= index) {
      if (!pages_.push(pool, nullptr)) return nullptr;
    }
    Page*& page = pages_[pages_.begin() + index];
    if (page == nullptr) {
      Block memory = pool.acquire(sizeof(Page));
      if (!memory) return nullptr;
      std::byte* const at = memory.data();
      page = ::new (static_cast<void*>(at)) Page(std::move(memory));
    }
    return page;
  }

  [[nodiscard]] Page* find(std::uint64_t number) {
    const std::uint64_t page = number / kPageSize;
    if (page < first_page_ || page - first_page_ >= pages_.size()) return nullptr;
    return pages_[pages_.begin() + (page - first_page_)];
  }

  Credit credit_;
  std::uint64_t next_ = 0;  // the least number that has not been dealt with; sequenced: that is not outdated
  // No number before is missing; as of the last time that one found its place behind a gap.
  std::uint64_t missing_ = 0;
  std::uint64_t first_page_ = 0;
  // Messages that are complete and not delivered, and a page before which there are none.
  std::uint64_t ready_ = 0;
  std::uint64_t first_ready_page_ = kNoPage;
  Ring<Page*> pages_;
  // Numbers from next_ on that are dealt with or have a message.
  std::uint64_t kept_ = 0;
  Pooled<PendingMessage> partial_;  // of a sequenced channel
  std::uint64_t partial_number_ = 0;
  // Bytes by which the oldest unfinished message has grown, and what was delivered or expired as the next
  // one.
  std::uint64_t progress_ = 0;
  ProgressMonitor monitor_;
  std::uint64_t stale_mark_ = 0;  // of a sequenced channel: progress_ one interval ago
  std::uint32_t max_message_;
  std::uint64_t max_ahead_;
  std::uint16_t number_;
  ChannelMode mode_;
  bool paused_ = false;
  bool waiting_ = false;
};

}  // namespace hawser
