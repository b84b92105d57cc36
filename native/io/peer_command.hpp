// What the user of an endpoint on another thread asks it to do about one peer, without an answer.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"

namespace hawser {

struct PeerCommand {
  enum class Kind : std::uint32_t { kDisconnect, kGoaway, kCompleteConsumption };

  Kind kind = Kind::kDisconnect;
  // Disconnect: code. Goaway: reason. Consumption: ConsumeVerdict.
  std::uint32_t number = 0;
  std::uint32_t deadline_ms = 0;
  std::uint32_t reconnect_spread_ms = 0;
  SocketAddress elsewhere;
};
static_assert(std::is_trivially_copyable_v<PeerCommand>);

// Bytes of the reason of a disconnect that are passed on: more than the endpoint sends.
inline constexpr std::size_t kMaxCommandReason = 1024;

// A command as the data of a record: the command, then the reason of a disconnect.
class PeerCommandBytes {
 public:
  explicit PeerCommandBytes(const PeerCommand& command, std::string_view reason = {}) {
    std::memcpy(bytes_.data(), &command, sizeof(command));
    const std::size_t length = std::min(reason.size(), kMaxCommandReason);
    // An empty view may have no address, which memcpy() must not be given.
    if (length > 0) std::memcpy(bytes_.data() + sizeof(command), reason.data(), length);
    size_ = sizeof(command) + length;
  }
  [[nodiscard]] Bytes view() const { return Bytes(bytes_).first(size_); }

 private:
  std::array<std::byte, sizeof(PeerCommand) + kMaxCommandReason> bytes_{};
  std::size_t size_ = 0;
};

// Does what a record with a command says. False when the endpoint refused it, and for what is no command.
inline bool run_command(Endpoint& endpoint, Handle peer, Bytes record, Instant now) {
  PeerCommand command;
  if (record.size() < sizeof(command)) return false;
  std::memcpy(&command, record.data(), sizeof(command));
  const Bytes reason = record.subspan(sizeof(command));
  const std::chrono::milliseconds spread(command.reconnect_spread_ms);
  switch (command.kind) {
    case PeerCommand::Kind::kDisconnect:
      return endpoint.disconnect(peer, command.number,
                                 {reinterpret_cast<const char*>(reason.data()), reason.size()}, now, spread);
    case PeerCommand::Kind::kGoaway:
      return endpoint.goaway(peer, command.number, std::chrono::milliseconds(command.deadline_ms),
                             command.elsewhere, spread);
    case PeerCommand::Kind::kCompleteConsumption:
      if (command.number > static_cast<std::uint32_t>(ConsumeVerdict::kHistoryFull)) return false;
      endpoint.complete_consumption(peer, static_cast<ConsumeVerdict>(command.number), now);
      return true;
  }
  return false;
}

}  // namespace hawser
