#pragma once

#include <cstdint>

namespace hawser {

// What became of a message that was to be sent.
enum class SendStatus : std::uint8_t {
  kSent,
  kNotConnected,
  kTooLong,
  kInvalidChannel,
  kOutputFull,
  kQueueFull,
};

}  // namespace hawser
