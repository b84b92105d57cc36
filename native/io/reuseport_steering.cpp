#include "io/reuseport_steering.hpp"

#ifdef __linux__
#include <linux/filter.h>
#include <sys/socket.h>

#include <array>
#endif

namespace hawser {

#ifdef __linux__

namespace {

// SO_ATTACH_REUSEPORT_CBPF: the kernel takes a number that is no index of a socket for "by the hash".
constexpr std::uint32_t kByHash = 0xffff'ffff;

constexpr sock_filter statement(std::uint16_t code, std::uint32_t operand) { return {code, 0, 0, operand}; }

// Jumps are relative to the next instruction.
constexpr sock_filter jump(std::uint16_t code, std::uint32_t operand, std::uint8_t if_true,
                           std::uint8_t if_false) {
  return {code, if_true, if_false, operand};
}

}  // namespace

bool steer_in_kernel(const UdpSocket& socket, const ShardSteering& steering) {
  // As ShardSteering::shard_of(). Offsets count from the UDP payload, and so does the length.
  std::array<sock_filter, 9> program = {
      statement(BPF_LD | BPF_W | BPF_LEN, 0),
      jump(BPF_JMP | BPF_JGE | BPF_K, steering.least_size(), 0, 6),
      statement(BPF_LD | BPF_B | BPF_ABS, 0),
      statement(BPF_ALU | BPF_AND | BPF_K, ShardSteering::kMask),
      jump(BPF_JMP | BPF_JEQ | BPF_K, ShardSteering::kPattern, 0, 3),
      statement(BPF_LD | BPF_B | BPF_ABS, steering.offset()),
      jump(BPF_JMP | BPF_JGE | BPF_K, steering.shards(), 1, 0),
      statement(BPF_RET | BPF_A, 0),
      statement(BPF_RET | BPF_K, kByHash),
  };
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  return ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof(filter)) ==
         0;
}

#else

bool steer_in_kernel(const UdpSocket& /*socket*/, const ShardSteering& /*steering*/) { return false; }

#endif

}  // namespace hawser
