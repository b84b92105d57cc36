// The block function of ChaCha20 (RFC 8439 section 2.3) for several blocks at once. Compiles where
// chacha20_poly1305.hpp sets HAWSER_OWN_CHACHA20_POLY1305.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace hawser {

inline constexpr std::size_t kChaCha20BlockSize = 64;

namespace chacha20 {

// One row of the 4 x 4 matrix of section 2.3. The compiler makes SSE2, NEON or plain code of it.
using Row = std::uint32_t __attribute__((vector_size(16)));

struct State {
  Row a;
  Row b;
  Row c;
  Row d;
};

template <int kBits>
Row rotate_bits(Row row) {
  return (row << kBits) | (row >> (32 - kBits));
}

// Lane i becomes what lane i + kLanes was.
template <int kLanes>
Row rotate_lanes(Row row) {
#if __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(row, row, kLanes, (kLanes + 1) % 4, (kLanes + 2) % 4, (kLanes + 3) % 4);
#else
  return __builtin_shuffle(row, Row{kLanes, (kLanes + 1) % 4, (kLanes + 2) % 4, (kLanes + 3) % 4});
#endif
}

// The quarter rounds (section 2.1) of the four lanes of every block. Each step is done for all blocks before
// the next: a processor has the width for several, and a single one leaves it waiting for its own results.
// Inlined, because only then the rows stay in registers.
template <std::size_t kBlocks>
[[gnu::always_inline]] inline void quarter_rounds(State (&state)[kBlocks]) {
  for (State& s : state) {
    s.a += s.b;
    s.d = rotate_bits<16>(s.d ^ s.a);
  }
  for (State& s : state) {
    s.c += s.d;
    s.b = rotate_bits<12>(s.b ^ s.c);
  }
  for (State& s : state) {
    s.a += s.b;
    s.d = rotate_bits<8>(s.d ^ s.a);
  }
  for (State& s : state) {
    s.c += s.d;
    s.b = rotate_bits<7>(s.b ^ s.c);
  }
}

inline Row load_row(const std::byte* from) {
  Row row;
  std::memcpy(&row, from, sizeof row);
  return row;
}

}  // namespace chacha20

// Writes kBlocks blocks of key stream, from the one whose block counter is `first_counter` on, to the first
// kBlocks * kChaCha20BlockSize bytes at `out`.
template <std::size_t kBlocks>
void chacha20_blocks(std::byte* out, std::span<const std::byte, 32> key, std::span<const std::byte, 12> nonce,
                     std::uint32_t first_counter) {
  using chacha20::rotate_lanes;
  using chacha20::Row;
  using chacha20::State;
  std::uint32_t nonce_words[3];
  std::memcpy(nonce_words, nonce.data(), sizeof nonce_words);
  const State start{Row{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, chacha20::load_row(key.data()),
                    chacha20::load_row(key.data() + 16),
                    Row{first_counter, nonce_words[0], nonce_words[1], nonce_words[2]}};
  State state[kBlocks];
  for (std::uint32_t i = 0; i < kBlocks; ++i) {
    state[i] = start;
    state[i].d += Row{i, 0, 0, 0};
  }
  for (int double_round = 0; double_round < 10; ++double_round) {
    quarter_rounds(state);
    // The diagonals become columns, and afterwards columns diagonals again (section 2.3).
    for (State& s : state) {
      s.b = rotate_lanes<1>(s.b);
      s.c = rotate_lanes<2>(s.c);
      s.d = rotate_lanes<3>(s.d);
    }
    quarter_rounds(state);
    for (State& s : state) {
      s.b = rotate_lanes<3>(s.b);
      s.c = rotate_lanes<2>(s.c);
      s.d = rotate_lanes<1>(s.d);
    }
  }
  for (std::uint32_t i = 0; i < kBlocks; ++i) {
    state[i].a += start.a;
    state[i].b += start.b;
    state[i].c += start.c;
    state[i].d += start.d + Row{i, 0, 0, 0};
    std::memcpy(out + i * kChaCha20BlockSize, &state[i], kChaCha20BlockSize);
  }
}

}  // namespace hawser
