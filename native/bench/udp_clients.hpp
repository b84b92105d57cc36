// Many clients over one socket, each with an address 127.x.y.z of its own: who sends datagrams at a rate, and
// takes what comes back. Linux only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <thread>

#include "udp_support.hpp"

namespace hawser::bench {

// The control message that names the address to send from (ip(7), IP_PKTINFO).
struct Source {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(in_pktinfo))> bytes{};

  void attach(msghdr& header, in_addr_t address) {
    header.msg_control = bytes.data();
    header.msg_controllen = bytes.size();
    cmsghdr* const message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = IPPROTO_IP;
    message->cmsg_type = IP_PKTINFO;
    message->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_spec_dst.s_addr = address;
    std::memcpy(CMSG_DATA(message), &info, sizeof info);
  }
};

class UdpClients {
 public:
  struct Options {
    std::uint32_t first_source;  // index of the first address
    std::uint32_t sources;
    std::uint32_t rate;  // datagrams a second, of all together
  };

  // `port` in network byte order.
  UdpClients(in_port_t port, const Options& options) : options_(options) {
    to_.sin_family = AF_INET;
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to_.sin_port = port;
  }

  // Sends for so long in steps of a millisecond, as a process with that many clients does; each source in
  // turn. `next` gives the next datagram, which has at most kMaxDatagram bytes, as a std::span<const
  // std::byte>. Where the rate is more than the machine can send, fewer are sent in the same time: to make up
  // for them each step would send more than the one before, and take ever longer.
  template <typename Next>
  void run(std::chrono::milliseconds duration, const Next& next) {
    const Clock::time_point begin = Clock::now();
    const Clock::time_point end = begin + duration;
    const std::uint64_t before = sent_;
    for (Clock::time_point step = begin; Clock::now() < end; step += kStep) {
      std::this_thread::sleep_until(step);
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      const std::uint64_t due = before + static_cast<std::uint64_t>(seconds * options_.rate);
      while (sent_ < due && Clock::now() < end && send(std::min<std::uint64_t>(due - sent_, kBatch), next)) {
      }
      read();
    }
  }

  // Takes what is on its way.
  void settle() {
    std::this_thread::sleep_for(kSettle);
    read();
  }

  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t returned() const { return returned_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kStep = std::chrono::milliseconds(1);
  static constexpr auto kSettle = std::chrono::milliseconds(100);

  template <typename Next>
  bool send(std::uint64_t count, const Next& next) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const std::byte> datagram = next();
      std::copy(datagram.begin(), datagram.end(), outgoing_->payloads[i].begin());
      outgoing_->segments[i].iov_len = datagram.size();
      msghdr& header = outgoing_->headers[i].msg_hdr;
      header.msg_name = &to_;
      header.msg_namelen = sizeof to_;
      sources_[i].attach(header, loopback_address(options_.first_source + next_));
      next_ = (next_ + 1) % options_.sources;
    }
    const int taken =
        sendmmsg(socket_.descriptor, outgoing_->headers.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (taken > 0) sent_ += static_cast<std::uint64_t>(taken);
    return taken > 0;
  }

  void read() {
    for (int got = static_cast<int>(kBatch); got == static_cast<int>(kBatch);) {
      got = recvmmsg(socket_.descriptor, incoming_->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got > 0) returned_ += static_cast<std::uint64_t>(got);
    }
  }

  Options options_;
  Socket socket_{INADDR_ANY};
  sockaddr_in to_{};
  std::unique_ptr<Batch> outgoing_ = std::make_unique<Batch>(kMaxDatagram);
  std::unique_ptr<Batch> incoming_ = std::make_unique<Batch>(kMaxDatagram);
  std::array<Source, kBatch> sources_{};
  std::uint32_t next_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t returned_ = 0;
};

}  // namespace hawser::bench
