#pragma once

#include "engine/shard_steering.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

// Makes the kernel give each datagram to the socket of the shard that it belongs to, among the sockets that
// share one address (SO_REUSEPORT) and were opened in the order of their shards; what belongs to none goes by
// a hash of the addresses. Called once, on any of them but the first, when there are two or more. False where
// the system cannot: the shards then hand over to each other what arrives at the wrong one.
[[nodiscard]] bool steer_in_kernel(const UdpSocket& socket, const ShardSteering& steering);

}  // namespace hawser
