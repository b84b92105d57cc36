#include "engine/handshake_queue.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace hawser {

// One buffer more than places: the datagram that pop gave out last still has its own.
HandshakeQueue::HandshakeQueue(const SipKey& key) : key_(key), buffers_(kDatagramBytes, kPlaces + 1) {}

bool HandshakeQueue::push(const ReceivedDatagram& datagram) {
  assert(datagram.bytes.size() <= kDatagramBytes);
  const std::size_t bin = hash_value(key_, datagram.remote.prefix()) % kBins;
  const bool full = size_ == kPlaces;
  if (full) {
    const std::size_t fullest = fullest_bin();
    if (bins_[bin].count + 1 >= bins_[fullest].count) return true;
    drop_newest(fullest);
  }
  append(bin, datagram);
  return full;
}

bool HandshakeQueue::pop(ReceivedDatagram& out) {
  if (size_ == 0) return false;
  const auto skipped =
      static_cast<std::size_t>(std::countr_zero(std::rotr(waiting_bins_, static_cast<int>(next_bin_))));
  const std::size_t number = (next_bin_ + skipped) % kBins;
  next_bin_ = (number + 1) % kBins;

  Bin& bin = bins_[number];
  const Index index = bin.oldest;
  Place& place = (*places_)[index];
  bin.oldest = place.next;
  if (bin.oldest == kNone) {
    bin.newest = kNone;
    waiting_bins_ &= ~(std::uint64_t{1} << number);
  } else {
    (*places_)[bin.oldest].previous = kNone;
  }
  --bin.count;

  served_ = std::move(place.buffer);
  out = ReceivedDatagram{served_.storage().first(served_.size), place.remote, place.local, place.ecn};
  free_place(index);
  return true;
}

void HandshakeQueue::release_idle() {
  if (size_ == 0 && !pushed_) {
    places_.reset();
    free_ = kNone;
  }
  served_.reset();
  buffers_.release_idle();
  pushed_ = false;
}

void HandshakeQueue::allocate_places() {
  places_ = std::make_unique<std::array<Place, kPlaces>>();
  for (std::size_t i = 0; i + 1 < kPlaces; ++i) (*places_)[i].next = static_cast<Index>(i + 1);
  free_ = 0;
}

std::size_t HandshakeQueue::fullest_bin() const {
  const auto fuller = [](const Bin& a, const Bin& b) { return a.count < b.count; };
  return static_cast<std::size_t>(std::max_element(bins_.begin(), bins_.end(), fuller) - bins_.begin());
}

void HandshakeQueue::append(std::size_t number, const ReceivedDatagram& datagram) {
  if (places_ == nullptr) allocate_places();
  const Index index = free_;
  Place& place = (*places_)[index];
  free_ = place.next;

  place.buffer = buffers_.acquire();
  place.buffer.size = datagram.bytes.size();
  std::copy(datagram.bytes.begin(), datagram.bytes.end(), place.buffer.storage().begin());
  place.remote = datagram.remote;
  place.local = datagram.local;
  place.ecn = datagram.ecn;

  Bin& bin = bins_[number];
  place.previous = bin.newest;
  place.next = kNone;
  (bin.newest == kNone ? bin.oldest : (*places_)[bin.newest].next) = index;
  bin.newest = index;
  ++bin.count;
  waiting_bins_ |= std::uint64_t{1} << number;
  ++size_;
  pushed_ = true;
  peak_ = std::max(peak_, size_);
}

// Only called for the fullest bin of a full queue, which keeps others: it never becomes empty.
void HandshakeQueue::drop_newest(std::size_t number) {
  Bin& bin = bins_[number];
  assert(bin.count > 1);
  const Index index = bin.newest;
  Place& place = (*places_)[index];
  bin.newest = place.previous;
  (*places_)[bin.newest].next = kNone;
  --bin.count;
  place.buffer.reset();
  free_place(index);
}

void HandshakeQueue::free_place(Index index) {
  (*places_)[index].next = free_;
  free_ = index;
  --size_;
}

}  // namespace hawser
