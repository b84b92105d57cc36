#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/pooled.hpp"
#include "base/ring.hpp"
#include "engine/channels.hpp"
#include "engine/pending_message.hpp"

namespace hawser {

// What a message of a reliable channel costs beside its length (docs/protocol.md section 12, Credit).
inline constexpr std::uint64_t kMessageCost = 64;

// What came of a frame.
enum class Received : std::uint8_t {
  kDone,
  kRepeated,       // delivered or expired before
  kOutdated,       // sequenced: not above the newest
  kUserFull,       // sequenced: complete, and the user has no room for it
  kProtocolError,  // the sender broke a rule
  kNoMemory,       // no room for it, which for reliable channels Transfer::has_room should have told
};

// Of one connection in one direction: how much the other side may send, and how much it did.
struct Credit {
  std::uint64_t window = 0;  // the first limit
  std::uint64_t limit = 0;
  std::uint64_t received = 0;
  std::uint64_t consumed = 0;
  // The limit is raised by so much at least.
  std::uint64_t step = 1;
  // The frame that told the limit was lost.
  bool untold = false;

  // `longest`: what the longest message costs.
  Credit(std::uint64_t first, std::uint64_t longest)
      : window(first),
        limit(first),
        // By a quarter, so that telling it costs little; sooner when the longest message might not fit into
        // what is left: nothing else that its sender does would raise the limit then.
        step(std::max<std::uint64_t>(std::min(first / 4, first - std::min(first, longest)), 1)) {}

  [[nodiscard]] bool due() const { return untold || consumed + window - limit >= step; }
  void raise() {
    limit = consumed + window;
    untold = false;
  }
};

// The receiving end of a reliable, reliable-unordered or sequenced channel: what has arrived and cannot be
// delivered yet, and which numbers have been dealt with. `deliver(Bytes, bool kept)` hands a message to the
// user and returns whether there was room for it; it is not called while the channel is paused. `kept`: the
// message comes from the memory for such messages and can stay there.
class ReceiveChannel {
 public:
  ReceiveChannel(std::uint16_t number, const ChannelDeclaration& declaration, std::uint64_t credit)
      : credit_(credit, declaration.max_message_bytes + kMessageCost),
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
  // The least number that is not delivered or expired; of a sequenced channel, that is not outdated.
  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] bool paused() const { return paused_; }
  void set_paused(bool paused) { paused_ = paused; }
  // Whether a complete message waits for room or for the end of a pause.
  [[nodiscard]] bool waiting() const { return waiting_; }
  // A whole message of this number would be delivered at once, without taking memory.
  [[nodiscard]] bool is_next(std::uint64_t number) const {
    return !paused_ && !waiting_ && number <= next_ && pages_.empty();
  }

  // How much memory of the pool may be needed, at most, to take `count` whole messages of `bytes` bytes in
  // all from `number` on ...
  [[nodiscard]] std::size_t memory_for_messages(std::uint64_t number, std::uint64_t count,
                                                std::size_t bytes) {
    constexpr std::size_t kEach = BlockPool::size_for(sizeof(PendingMessage)) + BlockPool::kLeast;
    return memory_for_pages(number, count) + static_cast<std::size_t>(count) * kEach + 2 * bytes;
  }
  // ... `parts` parts of a message ...
  [[nodiscard]] std::size_t memory_for_parts(std::uint64_t number, std::uint32_t total, std::size_t parts) {
    if (number < next_) return 0;
    if (Page* const page = find(number); page != nullptr) {
      if (page->is_done(number)) return 0;
      if (const Pooled<PendingMessage>& message = page->at(number)) return message->memory_for(parts);
    }
    return memory_for_pages(number, 1) + PendingMessage::memory_for_new(total) +
           (parts > RangeSet::kFew ? RangeSet().memory_for(parts) : 0);
  }
  // ... a part of a sequenced one ...
  [[nodiscard]] std::size_t memory_for_sequenced(std::uint64_t number, std::uint32_t total) const {
    if (number < next_ || (partial_ && number < partial_number_)) return 0;
    if (partial_ && number == partial_number_) return partial_->memory_for(1);
    return PendingMessage::memory_for_new(total);
  }
  // ... or the news that `count` messages from `number` on have expired.
  [[nodiscard]] std::size_t memory_for_pages(std::uint64_t number, std::uint64_t count) {
    const std::uint64_t last = number + count - 1;
    // What breaks a rule is not kept.
    if (last < next_ || is_too_far(last)) return 0;
    const std::uint64_t first = pages_.empty() ? next_ / kPageSize : first_page_;
    const auto entries = static_cast<std::size_t>(last / kPageSize - first + 1);
    std::size_t needed =
        entries > pages_.capacity() ? 2 * BlockPool::size_for(entries * Ring<Page*>::kElementBytes) : 0;
    for (std::uint64_t page = std::max(number, next_) / kPageSize; page <= last / kPageSize; ++page) {
      if (find(page * kPageSize) == nullptr) needed += BlockPool::size_for(sizeof(Page));
    }
    return needed;
  }

  // Whether there is memory for the message already.
  [[nodiscard]] bool has_begun(std::uint64_t number) {
    Page* const page = find(number);
    return page != nullptr && static_cast<bool>(page->at(number));
  }

  // A whole message.
  template <class F>
  Received on_message(BlockPool& pool, Credit& connection, std::uint64_t number, Bytes data, F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (data.size() > max_message_) return Received::kProtocolError;
    // The usual case: nothing is missing and nothing waits.
    if (number == next_ && pages_.empty() && !paused_) {
      if (!count(connection, data.size())) return Received::kProtocolError;
      if (deliver(data, false)) {
        ++next_;
        consume(connection, data.size());
        return Received::kDone;
      }
      uncount(connection, data.size());
    }
    return on_part(pool, connection, number, static_cast<std::uint32_t>(data.size()), 0, data, deliver);
  }

  // One part of a message; offset + data.size() <= total.
  template <class F>
  Received on_part(BlockPool& pool, Credit& connection, std::uint64_t number, std::uint32_t total,
                   std::uint32_t offset, Bytes data, F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (total > max_message_ || is_too_far(number)) return Received::kProtocolError;
    Page* const page = page_of(pool, number);
    if (page == nullptr) return Received::kNoMemory;
    if (page->is_done(number)) return Received::kRepeated;
    Pooled<PendingMessage>& message = page->at(number);
    if (!message) {
      if (!count(connection, total)) return Received::kProtocolError;
      // Not past one that waits for room: a long one might wait for ever.
      if (mode_ == ChannelMode::kReliableUnordered && data.size() == total && !paused_ && !waiting_ &&
          deliver(data, false)) {
        ++held_;
        finish(connection, *page, number, total);
        find_missing();
        skip_done();
        return Received::kDone;
      }
      message = Pooled<PendingMessage>::make(pool, total);
      if (!message) return Received::kNoMemory;
      ++held_;
    }
    if (message->total() != total) return Received::kProtocolError;
    if (message->complete()) return Received::kRepeated;
    switch (message->add(pool, offset, data)) {
      case PendingMessage::Added::kDone:
        break;
      case PendingMessage::Added::kNoMemory:
        return Received::kNoMemory;
      case PendingMessage::Added::kTooMany:
        return Received::kProtocolError;
    }
    if (!message->complete()) return Received::kDone;
    find_missing();
    if (mode_ == ChannelMode::kReliableUnordered) {
      if (paused_ || waiting_ || !deliver(message->bytes(), true)) {
        waiting_ = true;
        return Received::kDone;
      }
      message.reset();
      finish(connection, *page, number, total);
      skip_done();
    } else if (number == next_) {
      deliver_waiting(connection, deliver);
    }
    return Received::kDone;
  }

  // The sender gave the message up.
  template <class F>
  Received on_expired(BlockPool& pool, Credit& connection, std::uint64_t number, std::uint32_t length,
                      F&& deliver) {
    if (number < next_) return Received::kRepeated;
    if (length > max_message_ || is_too_far(number)) return Received::kProtocolError;
    Page* const page = page_of(pool, number);
    if (page == nullptr) return Received::kNoMemory;
    if (page->is_done(number)) return Received::kRepeated;
    Pooled<PendingMessage>& message = page->at(number);
    if (message) {
      if (message->total() != length) return Received::kProtocolError;
      // It was complete in time: it is delivered as any other.
      if (message->complete()) return Received::kDone;
      message.reset();
    } else {
      if (!count(connection, length)) return Received::kProtocolError;
      ++held_;
    }
    finish(connection, *page, number, length);
    find_missing();
    if (mode_ == ChannelMode::kReliableUnordered) {
      skip_done();
    } else if (number == next_) {
      deliver_waiting(connection, deliver);
    }
    return Received::kDone;
  }

  // A message of a sequenced channel, or a part of one.
  template <class F>
  Received on_sequenced(BlockPool& pool, std::uint64_t number, std::uint32_t total, std::uint32_t offset,
                        Bytes data, F&& deliver) {
    if (total > max_message_) return Received::kProtocolError;
    if (number < next_) return Received::kOutdated;
    if (data.size() == total) {
      if (!deliver(data, false)) return Received::kUserFull;
      // The parts of a newer one stay.
      if (partial_number_ <= number) partial_.reset();
      next_ = number + 1;
      return Received::kDone;
    }
    if (partial_ && number < partial_number_) return Received::kOutdated;
    if (!partial_ || number > partial_number_) {
      partial_ = Pooled<PendingMessage>::make(pool, total);
      partial_number_ = number;
      if (!partial_) return Received::kNoMemory;
    }
    if (partial_->total() != total) return Received::kProtocolError;
    switch (partial_->add(pool, offset, data)) {
      case PendingMessage::Added::kDone:
        break;
      case PendingMessage::Added::kNoMemory:
        partial_.reset();
        return Received::kNoMemory;
      case PendingMessage::Added::kTooMany:
        return Received::kProtocolError;
    }
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
    if (mode_ == ChannelMode::kReliableUnordered) {
      deliver_unordered(connection, deliver);
    } else {
      deliver_ordered(connection, deliver);
    }
    return !waiting_ || paused_;
  }

 private:
  static constexpr std::uint64_t kPageSize = 64;

  // The messages of 64 numbers. A page owns the memory it lies in.
  struct Page {
    [[nodiscard]] Pooled<PendingMessage>& at(std::uint64_t number) { return messages[number % kPageSize]; }
    [[nodiscard]] bool is_done(std::uint64_t number) const {
      return ((done >> (number % kPageSize)) & 1U) != 0;
    }
    [[nodiscard]] bool is_there(std::uint64_t number) {
      return is_done(number) || (at(number) && at(number)->complete());
    }
    void set_done(std::uint64_t number) { done |= std::uint64_t{1} << (number % kPageSize); }

    Block memory;
    std::uint64_t done = 0;
    std::array<Pooled<PendingMessage>, kPageSize> messages;
  };

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
    for (Page* page = find(missing_); page != nullptr && page->is_there(missing_); page = find(missing_))
      ++missing_;
  }

  // A message was delivered or given up.
  void finish(Credit& connection, Page& page, std::uint64_t number, std::uint64_t length) {
    page.set_done(number);
    consume(connection, length);
  }

  template <class F>
  void deliver_ordered(Credit& connection, F& deliver) {
    for (;;) {
      skip_done();
      Page* const page = find(next_);
      if (page == nullptr) return;
      Pooled<PendingMessage>& message = page->at(next_);
      if (!message || !message->complete()) return;
      if (paused_ || !deliver(message->bytes(), true)) {
        waiting_ = true;
        return;
      }
      const std::uint32_t total = message->total();
      message.reset();
      finish(connection, *page, next_, total);
    }
  }

  template <class F>
  void deliver_unordered(Credit& connection, F& deliver) {
    for (std::uint64_t number = next_; number / kPageSize < first_page_ + pages_.size(); ++number) {
      Page* const page = find(number);
      if (page == nullptr) {
        number |= kPageSize - 1;
        continue;
      }
      Pooled<PendingMessage>& message = page->at(number);
      if (!message || !message->complete()) continue;
      if (paused_ || !deliver(message->bytes(), true)) {
        waiting_ = true;
        break;
      }
      const std::uint32_t total = message->total();
      message.reset();
      finish(connection, *page, number, total);
    }
    skip_done();
  }

  // Moves on to the first number that is not dealt with, and drops the pages before it; all of them when
  // nothing is in any.
  void skip_done() {
    for (Page* page = find(next_); page != nullptr && page->is_done(next_); page = find(next_)) {
      ++next_;
      --held_;
      while (!pages_.empty() && first_page_ < next_ / kPageSize) drop_page();
    }
    while (held_ == 0 && !pages_.empty()) drop_page();
  }

  void drop_page() {
    if (Page* const page = pages_.front(); page != nullptr) {
      const Block memory = std::move(page->memory);
      page->~Page();
    }
    pages_.pop();
    ++first_page_;
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
      page = ::new (static_cast<void*>(memory.data())) Page{};
      page->memory = std::move(memory);
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
  Ring<Page*> pages_;
  // Numbers from next_ on that are dealt with or have a message.
  std::uint64_t held_ = 0;
  Pooled<PendingMessage> partial_;  // of a sequenced channel
  std::uint64_t partial_number_ = 0;
  std::uint32_t max_message_;
  std::uint64_t max_ahead_;
  std::uint16_t number_;
  ChannelMode mode_;
  bool paused_ = false;
  bool waiting_ = false;
};

}  // namespace hawser
