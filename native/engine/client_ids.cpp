#include "engine/client_ids.hpp"

#include <cassert>

namespace hawser {

namespace {

// An empty map of up to this many slots keeps its memory, so that one client who comes and goes does not
// allocate.
constexpr std::size_t kKeptCapacity = 1024;

template <class Map>
void shrink(Map& map) {
  if (map.size() == 0 && map.capacity() > kKeptCapacity) map.clear();
}

}  // namespace

ReserveVerdict ClientIds::would_reserve(std::uint64_t client_id, const AttemptOrder& order) const {
  const std::lock_guard lock(mutex_);
  return judge(holders_.find(client_id), reservations_.find(client_id), order);
}

ReserveVerdict ClientIds::reserve(std::uint64_t client_id, const AttemptOrder& order, const TokenId* token,
                                  PeerReference peer) {
  const std::lock_guard lock(mutex_);
  const Holder* const holder = holders_.find(client_id);
  Reservation* const former = reservations_.find(client_id);
  const ReserveVerdict verdict = judge(holder, former, order);
  if (verdict != ReserveVerdict::kReserved) return verdict;
  Reservation reservation{order, peer, {}, std::nullopt};
  if (token != nullptr) {
    reservation.token = *token;
    reservation.asked = peer;
  }
  if (former == nullptr) {
    if (holder == nullptr) ++places_;
    reservations_.insert(client_id, reservation);
    return ReserveVerdict::kReserved;
  }
  const bool is_asked = token != nullptr && former->asked && former->token == *token;
  if (is_asked) reservation.asked = former->asked;
  *former = reservation;
  return is_asked ? ReserveVerdict::kReservedAndAsked : ReserveVerdict::kReserved;
}

Settlement ClientIds::settle(std::uint64_t client_id, PeerReference peer, bool accepted) {
  const std::lock_guard lock(mutex_);
  Reservation* const reservation = reservations_.find(client_id);
  if (reservation == nullptr) return {SettleOutcome::kLost, std::nullopt};
  if (reservation->peer != peer) {
    if (reservation->asked != peer) return {SettleOutcome::kLost, std::nullopt};
    reservation->asked = reservation->peer;
    return {SettleOutcome::kPassedOn, reservation->peer};
  }
  const Holder next{reservation->order, peer};
  erase_reservation(client_id);
  if (!accepted) {
    return_place(client_id);
    return {SettleOutcome::kReleased, std::nullopt};
  }
  const auto [holder, inserted] = holders_.insert(client_id, next);
  Settlement result{SettleOutcome::kConnected, std::nullopt};
  if (!inserted) {
    result.peer = holder->peer;
    *holder = next;
  }
  return result;
}

void ClientIds::release(std::uint64_t client_id, PeerReference peer) {
  const std::lock_guard lock(mutex_);
  if (Reservation* const reservation = reservations_.find(client_id); reservation != nullptr) {
    if (reservation->peer == peer) {
      erase_reservation(client_id);
      return return_place(client_id);
    }
    // No answer comes any more. A newer attempt with the token asks again.
    if (reservation->asked == peer) reservation->asked.reset();
  }
  const Holder* const holder = holders_.find(client_id);
  if (holder == nullptr || holder->peer != peer) return;
  holders_.erase(client_id);
  shrink(holders_);
  return_place(client_id);
}

void ClientIds::set_max_peers(std::uint32_t max_peers) {
  const std::lock_guard lock(mutex_);
  assert(max_peers <= holders_.max_entries());
  max_peers_ = max_peers;
}

std::uint32_t ClientIds::max_peers() const {
  const std::lock_guard lock(mutex_);
  return max_peers_;
}

std::uint32_t ClientIds::connected() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(holders_.size());
}

std::uint32_t ClientIds::places() const {
  const std::lock_guard lock(mutex_);
  return places_;
}

std::size_t ClientIds::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return holders_.allocated_bytes() + reservations_.allocated_bytes();
}

ReserveVerdict ClientIds::judge(const Holder* holder, const Reservation* reservation,
                                const AttemptOrder& order) const {
  if (holder != nullptr && (policy_ == SameClientPolicy::kReject || order.token_created == kUnknownCreation ||
                            !is_newer(order, holder->order, clock_skew_))) {
    return ReserveVerdict::kRefused;
  }
  if (reservation != nullptr && !is_newer(order, reservation->order, clock_skew_))
    return ReserveVerdict::kRefused;
  const bool has_place = holder != nullptr || reservation != nullptr;
  return has_place || places_ < max_peers_ ? ReserveVerdict::kReserved : ReserveVerdict::kFull;
}

void ClientIds::erase_reservation(std::uint64_t client_id) {
  reservations_.erase(client_id);
  shrink(reservations_);
}

void ClientIds::return_place(std::uint64_t client_id) {
  if (holders_.find(client_id) == nullptr && reservations_.find(client_id) == nullptr) --places_;
}

}  // namespace hawser
