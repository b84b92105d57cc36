// What FlatBuffers' own verifier says of messages: reads each with its length (u32, little-endian) in front,
// writes 1 or 0 for each.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "sync_generated.h"

int main() {
  std::uint32_t length = 0;
  while (std::fread(&length, sizeof length, 1, stdin) == 1) {
    // Aligned as the verifier takes it to be.
    std::vector<std::uint64_t> words(length / 8 + 1);
    auto* bytes = reinterpret_cast<std::uint8_t*>(words.data());
    if (std::fread(bytes, 1, length, stdin) != length) return 1;
    flatbuffers::Verifier verifier(bytes, length);
    std::putchar(VerifyMessageBuffer(verifier) ? '1' : '0');
  }
  return 0;
}
