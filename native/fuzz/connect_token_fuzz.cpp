// The connect token as a client decodes it, and its private part as a gateway would find it after opening:
// whatever is accepted obeys the rules and is encoded to the same bytes again.
#include <array>
#include <vector>

#include "fuzz/fuzz_support.hpp"
#include "wire/connect_token.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;

void check_addresses(const AddressList& list) {
  require(list.count >= 1 && list.count <= kMaxTokenAddresses);
  for (const SocketAddress& address : list.view()) require(is_encodable(address));
}

void check_public(Bytes input) {
  const auto token = decode_public_token(input);
  if (!token) return;
  require(check_token_clear(token->clear) == TokenError::kNone);
  require(token->timeout >= kMinTokenTimeout && token->timeout <= kMaxTokenTimeout);
  check_addresses(token->addresses);
  std::array<std::byte, kMaxTokenSize> again{};
  const auto size = encode_public_token(again, *token);
  require(size.has_value() && fuzz::same(Bytes(again).first(*size), input));
}

// The input, cut or padded with zeros to the size of a private part.
void check_private(Bytes input) {
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  const std::size_t size = std::min(input.size(), plaintext.size());
  std::copy_n(input.begin(), size, plaintext.begin());
  PrivateToken token;
  if (decode_private_token(plaintext, token) != TokenError::kNone) return;
  require(token.timeout >= kMinTokenTimeout && token.timeout <= kMaxTokenTimeout);
  check_addresses(token.addresses);
  std::array<std::byte, kPrivateTokenSize> again{};
  require(encode_private_token(again, token) == TokenError::kNone && fuzz::same(again, plaintext));
}

// Nobody without the key seals anything that opens.
void check_sealed(Bytes input) {
  if (input.size() < kTokenPublicOffset) return;
  const Key key;
  PrivateToken token;
  require(open_private_token(input.subspan<kTokenClearSize, kSealedPrivateTokenSize>(), key,
                             input.first<kTokenAssociatedDataSize>(), input.subspan<40, kNonceSize>(),
                             token) == TokenError::kSealed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = fuzz::input(data, size);
  check_public(input);
  check_private(input);
  check_sealed(input);
  return 0;
}
