#include "engine/path_mtu.hpp"

#include <algorithm>
#include <array>

namespace hawser {

namespace {

// Sizes of IP packets that links carry: IPv6's least, tunnels, PPPoE, Ethernet, jumbo frames.
constexpr std::array<std::uint16_t, 11> kLinks = {1280, 1380, 1420, 1460, 1480, 1492,
                                                  1500, 4080, 8180, 8980, 9000};
constexpr std::uint8_t kEthernet = 6;
static_assert(kLinks[kEthernet] == 1500);
constexpr std::uint8_t kIpv4AndUdp = 28;
constexpr std::uint8_t kIpv6AndUdp = 48;
constexpr std::size_t kGreatest = 65'507;

}  // namespace

PathMtu::PathMtu(std::size_t limit, bool ipv6)
    : limit_(static_cast<std::uint16_t>(std::clamp(limit, kBase, kGreatest))),
      overhead_(ipv6 ? kIpv6AndUdp : kIpv4AndUdp) {
  if (limit_ == kBase) return;
  while (count_ < kLinks.size() && std::size_t{kLinks[count_]} - overhead_ < limit_) ++count_;
  ++count_;
  begin();
}

std::size_t PathMtu::candidate(std::uint8_t index) const {
  return index + 1 == count_ ? limit_ : std::size_t{kLinks[index]} - overhead_;
}

// All candidates are open.
void PathMtu::begin() {
  passed_ = 0;
  failed_ = count_;
  choose();
}

// The Ethernet's size first: most paths carry it, or nearly. Above it one after the other, since each that
// fails costs three packets of its size; below it by halves.
void PathMtu::choose() {
  lost_probes_ = 0;
  if (passed_ == failed_) {
    next_ = count_;
  } else if (passed_ > kEthernet) {
    next_ = passed_;
  } else if (failed_ == count_) {
    next_ = std::min<std::uint8_t>(kEthernet, static_cast<std::uint8_t>(count_ - 1));
  } else {
    next_ = static_cast<std::uint8_t>(passed_ + (failed_ - passed_) / 2);
  }
}

std::size_t PathMtu::next_probe(Instant now) const {
  if (!wanted_ || probe_ != 0 || now < deadline_ || next_ == count_) return 0;
  return candidate(next_);
}

void PathMtu::on_probe_sent(std::size_t size, std::uint64_t number, Instant now, Duration pto) {
  probe_ = static_cast<std::uint16_t>(size);
  probe_number_ = number;
  deadline_ = now + std::max(kLeastProbeTimeout, 3 * pto);
}

void PathMtu::on_probe_acked(std::uint64_t number, Instant now) {
  if (probe_ == 0 || number != probe_number_) return;
  current_ = std::max(current_, probe_);
  conclude_probe(true, now);
}

void PathMtu::on_probe_lost(std::uint64_t number, Instant now) {
  if (probe_ == 0 || number != probe_number_) return;
  if (++lost_probes_ < kMaxProbes) {
    probe_ = 0;
    deadline_ = now;
  } else {
    conclude_probe(false, now);
  }
}

void PathMtu::on_probe_too_long(std::size_t size, Instant now) {
  if (probe_ != 0 && size == probe_) conclude_probe(false, now);
}

void PathMtu::on_timer(Instant now) {
  if (probe_ != 0 && now >= deadline_) on_probe_lost(probe_number_, now);
}

void PathMtu::conclude_probe(bool passed, Instant now) {
  probe_ = 0;
  deadline_ = now;
  if (passed) {
    passed_ = static_cast<std::uint8_t>(next_ + 1);
  } else {
    failed_ = next_;
  }
  choose();
  if (next_ != count_) return;
  // Complete. What failed is tried again later, if there is use for it then.
  failed_ = count_;
  choose();
  rest_until(now + kRaise);
}

void PathMtu::rest_until(Instant when) {
  deadline_ = when;
  wanted_ = false;
}

bool PathMtu::on_packet_lost(std::size_t size, std::uint64_t number, std::uint64_t next_number, Instant now) {
  // A congested queue loses many at once: only what was sent after that was known counts again.
  if (size <= kBase || current_ == kBase || number < flight_end_) return false;
  flight_end_ = next_number;
  if (++lost_flights_ < kMaxLostFlights) return false;
  const unsigned doublings = std::min<unsigned>(black_holes_, 6);
  if (black_holes_ < 6) ++black_holes_;
  lost_flights_ = 0;
  probe_ = 0;
  current_ = kBase;
  begin();
  rest_until(now + std::min(kBlackHolePause * (1U << doublings), kRaise));
  return true;
}

}  // namespace hawser
