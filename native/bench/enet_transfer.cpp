// Reliable, ordered messages of ENet between two processes, for the rows about paths: see path_transfer.hpp.
//
// ENet keeps at most 64 KiB in flight, and has no congestion control for reliable packets.
#include <cstdio>

#if defined(__linux__) && defined(HAWSER_HAS_RIVAL)

#include <enet/enet.h>

#include <memory>
#include <span>

#include "path_transfer.hpp"

namespace {

using namespace hawser::bench;

// Maximum number of messages that are not acknowledged yet: more than ENet's window holds.
constexpr std::size_t kMostWaiting = 64;
constexpr auto kTick = std::chrono::milliseconds(1);
// Longer than any row, so that loss never ends the connection.
constexpr enet_uint32 kTimeoutMs = 300'000;

class EnetEndpoint final : public Endpoint {
 public:
  // Null if the host cannot be made.
  static std::unique_ptr<EnetEndpoint> open(const TransferArguments& arguments) {
    ENetAddress address{};
    if (enet_address_set_host_ip(&address, arguments.address) != 0) return nullptr;
    address.port = arguments.port;
    auto endpoint = std::unique_ptr<EnetEndpoint>(new EnetEndpoint);
    endpoint->host_ = enet_host_create(arguments.listens ? &address : nullptr, 1, 1, 0, 0);
    if (endpoint->host_ == nullptr) return nullptr;
    if (arguments.listens) return endpoint;
    if (enet_host_connect(endpoint->host_, &address, 1, 0) == nullptr) return nullptr;
    return endpoint;
  }

  ~EnetEndpoint() override {
    if (host_ != nullptr) enet_host_destroy(host_);
  }

  [[nodiscard]] int descriptor() const override { return host_->socket; }
  [[nodiscard]] unsigned port() const override { return host_->address.port; }
  [[nodiscard]] bool is_connected() const override { return peer_ != nullptr; }
  [[nodiscard]] bool has_failed() const override { return failed_; }
  [[nodiscard]] bool has_room() const override { return waiting_ < kMostWaiting; }

  void send(std::span<const std::byte> message) override {
    ENetPacket* packet = enet_packet_create(message.data(), message.size(), ENET_PACKET_FLAG_RELIABLE);
    packet->userData = this;
    packet->freeCallback = [](ENetPacket* freed) { --static_cast<EnetEndpoint*>(freed->userData)->waiting_; };
    ++waiting_;
    if (enet_peer_send(peer_, 0, packet) != 0) enet_packet_destroy(packet);
  }

  void service(MessageSink& sink) override {
    ENetEvent event{};
    while (enet_host_service(host_, &event, 0) > 0) {
      switch (event.type) {
        case ENET_EVENT_TYPE_CONNECT:
          peer_ = event.peer;
          enet_peer_timeout(peer_, 0, kTimeoutMs, kTimeoutMs);
          break;
        case ENET_EVENT_TYPE_DISCONNECT:
          peer_ = nullptr;
          failed_ = true;
          break;
        case ENET_EVENT_TYPE_RECEIVE:
          sink.take(std::as_bytes(std::span(event.packet->data, event.packet->dataLength)));
          enet_packet_destroy(event.packet);
          break;
        case ENET_EVENT_TYPE_NONE:
          break;
      }
    }
  }

  // It does not say when its next timer fires.
  [[nodiscard]] std::chrono::nanoseconds patience() const override { return kTick; }

 private:
  EnetEndpoint() = default;

  ENetHost* host_ = nullptr;
  ENetPeer* peer_ = nullptr;
  std::size_t waiting_ = 0;
  bool failed_ = false;
};

}  // namespace

int main(int count, char** arguments) {
  if (enet_initialize() != 0) return 1;
  const int code = run_transfer("bench_enet_transfer", std::span(arguments, static_cast<std::size_t>(count)),
                                EnetEndpoint::open);
  enet_deinitialize();
  return code;
}

#else

int main() {
  std::fputs("ENet was not there when this program was built: install libenet-dev\n", stderr);
  return 3;
}

#endif
