#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hawser {

// Every statistic of an endpoint, in the order in which users see them. A datagram or message that is dropped
// is counted under exactly one of the names that begin with `drop`; docs/protocol.md says what makes each one
// count.
#define HAWSER_COUNTERS(X)   \
  X(datagramsReceived)       \
  X(datagramsSent)           \
  X(bytesReceived)           \
  X(bytesSent)               \
  X(packetsOpened)           \
  X(packetsSealed)           \
  X(messagesReceived)        \
  X(messagesSent)            \
  X(messageBytesReceived)    \
  X(messageBytesSent)        \
  X(requestsReceived)        \
  X(challengesSent)          \
  X(responsesReceived)       \
  X(acceptsSent)             \
  X(deniedSent)              \
  X(resetsSent)              \
  X(resetsReceived)          \
  X(handshakesCompleted)     \
  X(handshakesRefused)       \
  X(peersConnected)          \
  X(peersDisconnected)       \
  X(peersTimedOut)           \
  X(peersReplaced)           \
  X(peersProtocolError)      \
  X(peersSlowConsumer)       \
  X(peersSendMemoryFull)     \
  X(peersNoProgress)         \
  X(halfOpenExpired)         \
  X(pingsSent)               \
  X(pongsReceived)           \
  X(unexpectedPong)          \
  X(controlFramesRepeated)   \
  X(packetsLost)             \
  X(spuriousLosses)          \
  X(acksIncomplete)          \
  X(messagesExpired)         \
  X(messagesLost)            \
  X(creditRefusals)          \
  X(redundantBytes)          \
  X(keyUpdates)              \
  X(keyUpdatesRefused)       \
  X(movesBegun)              \
  X(movesCompleted)          \
  X(movesCancelled)          \
  X(movesFailed)             \
  X(turns)                   \
  X(timersFired)             \
  X(peers)                   \
  X(halfOpen)                \
  X(packetBuffersInUse)      \
  X(packetBuffersPeak)       \
  X(sendQueueBytes)          \
  X(grownCreditBytes)        \
  X(reassemblyBytes)         \
  X(reassemblyBytesPeak)     \
  X(handshakeQueueLength)    \
  X(handshakeQueuePeak)      \
  X(dropLength)              \
  X(dropUnknownType)         \
  X(dropReflected)           \
  X(dropVersion)             \
  X(dropProtocol)            \
  X(dropTokenLifetime)       \
  X(dropTokenExpired)        \
  X(dropTokenFuture)         \
  X(dropUnknownKey)          \
  X(dropTokenInvalid)        \
  X(dropTokenPredates)       \
  X(dropTokenUsed)           \
  X(dropTokenHistoryFull)    \
  X(dropWrongAddress)        \
  X(dropAddressConnected)    \
  X(dropClientIdConnected)   \
  X(dropSingleUseRefused)    \
  X(dropCookieExpired)       \
  X(dropCookieInvalid)       \
  X(dropCookieConsumed)      \
  X(dropCookieTableFull)     \
  X(dropResponseInvalid)     \
  X(dropHalfOpenFull)        \
  X(dropHandshakeBudget)     \
  X(dropUnexpected)          \
  X(dropUnknownConnection)   \
  X(dropForeignShard)        \
  X(dropUnknownEpoch)        \
  X(dropAuthentication)      \
  X(dropForeignBudget)       \
  X(dropReplayed)            \
  X(dropTooOld)              \
  X(dropPeerCeiling)         \
  X(dropPingRateLimited)     \
  X(dropRepeatedMessage)     \
  X(dropOutdated)            \
  X(dropReassemblyFull)      \
  X(dropQueueFull)           \
  X(dropUnconfirmedOverflow) \
  X(dropResetInvalid)        \
  X(dropPathMtu)             \
  X(dropOutputFull)          \
  X(dropNotConnected)        \
  X(dropEventQueueFull)

enum class Counter : std::uint8_t {
#define HAWSER_COUNTER_ENUMERATOR(name) name,
  HAWSER_COUNTERS(HAWSER_COUNTER_ENUMERATOR)
#undef HAWSER_COUNTER_ENUMERATOR
      kCount
};

constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::kCount);

constexpr std::array<const char*, kCounterCount> kCounterNames = {
#define HAWSER_COUNTER_NAME(name) #name,
    HAWSER_COUNTERS(HAWSER_COUNTER_NAME)
#undef HAWSER_COUNTER_NAME
};

// A view of the counters' memory, which the owner of the endpoint provides: JavaScript reads it as a
// BigUint64Array without a call.
class Counters {
 public:
  explicit Counters(std::span<std::uint64_t, kCounterCount> values) : values_(values) {}

  void add(Counter counter, std::uint64_t amount = 1) {
    values_[static_cast<std::size_t>(counter)] += amount;
  }
  void set(Counter counter, std::uint64_t value) { values_[static_cast<std::size_t>(counter)] = value; }
  [[nodiscard]] std::uint64_t get(Counter counter) const {
    return values_[static_cast<std::size_t>(counter)];
  }

 private:
  std::span<std::uint64_t, kCounterCount> values_;
};

}  // namespace hawser
