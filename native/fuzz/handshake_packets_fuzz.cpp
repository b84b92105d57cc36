// The datagrams outside a session. The first byte of the input says what is done with the rest: taken as a
// datagram as it came, or sealed first as the plaintext of a kind, so that what lies behind the seal is
// reached too. Whatever is accepted is encoded to the same bytes again.
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "crypto/key_schedule.hpp"
#include "fuzz/fuzz_support.hpp"
#include "wire/handshake_packets.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;

constexpr Nonce kNonce{};
constexpr TokenId kToken{};
constexpr Share kShare{};
constexpr Hash256 kResponseHash{};

// The input, cut or padded with zeros.
template <std::size_t N>
std::array<std::byte, N> sized(Bytes input) {
  std::array<std::byte, N> result{};
  std::copy_n(input.begin(), std::min(input.size(), N), result.begin());
  return result;
}

void check_carrier(const TokenCarrierView& view, Bytes datagram) {
  std::array<std::byte, kTokenClearSize> clear{};
  encode_token_clear(clear, view.clear);
  // Times beyond kMaxTokenTime are not kept to the bit, and never pass the check.
  if (check_token_clear(view.clear) == TokenError::kNone) require(fuzz::same(clear, datagram.subspan(1, 64)));
  require(view.token_associated_data.data() == datagram.data() + 1);
  require(view.sealed_private.data() == datagram.data() + 65);
  require(view.client_share.data() == datagram.data() + 1041);
}

// Nothing that was not sealed with the key may open.
void check_datagram(Bytes input) {
  const Key key;
  if (const auto request = parse_request(input)) {
    require(input.size() == 1200 && classify(kRequestByte) == DatagramKind::kRequest);
    check_carrier(*request, input);
  }
  if (const auto response = parse_response(input)) {
    check_carrier(*response, input);
    const Cookie& cookie = response->cookie;
    require(Cookie::make(cookie.time, cookie.index, cookie.mac).raw == cookie.raw);
    ResponseBody body;
    require(!open_response(*response, key, body));
  }
  ChallengeBody challenge;
  require(!open_challenge(input, key, kToken, kShare, challenge));
  AcceptBody accept;
  require(!open_accept(input, key, kResponseHash, accept));
  require(!open_denied(input, key, kToken, kShare).has_value());
  if (const auto reset = parse_reset(input)) {
    std::array<std::byte, kMaxResetSize> again{};
    const std::size_t size = encode_reset(again, reset->connection_id, reset->token);
    require(fuzz::same(Bytes(again).first(size), input));
  }
}

void check_response_text(Bytes input) {
  const Key key;
  auto text = sized<kResponsePlaintextSize>(input);
  ResponseDatagram datagram{};
  datagram[0] = std::byte{kResponseByte};
  std::copy_n(bytes_of(kProtocolVersion).begin(), kProtocolVersion.size(), datagram.begin() + 1);
  seal(MutableBytes(datagram).subspan(1118), key, kNonce, Bytes(datagram).first(1118), text);
  const auto view = parse_response(datagram);
  require(view.has_value());
  ResponseBody body;
  if (!open_response(*view, key, body)) return;
  require(body.max_datagram >= kLeastMaxDatagram && body.max_datagram <= kGreatestMaxDatagram);
  std::array<std::byte, kRequestSize> request{};
  std::copy_n(datagram.begin(), 1073, request.begin());
  ResponseDatagram again{};
  std::fill(text.begin() + 47, text.end(), std::byte{0});
  seal(MutableBytes(datagram).subspan(1118), key, kNonce, Bytes(datagram).first(1118), text);
  encode_response(again, request, view->cookie.raw, key, kNonce, body);
  require(again == datagram);
}

void check_accept_text(Bytes input) {
  const Key key;
  auto text = sized<kAcceptPlaintextSize>(input);
  const auto sealed = [&key, &text] {
    AcceptDatagram datagram{};
    datagram[0] = std::byte{kAcceptByte};
    std::array<std::byte, 25 + 32> associated_data{std::byte{kAcceptByte}};
    seal(MutableBytes(datagram).subspan(25), key, kNonce, associated_data, text);
    return datagram;
  };
  AcceptBody body;
  if (!open_accept(sealed(), key, kResponseHash, body)) return;
  require(body.max_datagram >= kLeastMaxDatagram && body.max_datagram <= kGreatestMaxDatagram);
  std::fill(text.begin() + 79, text.end(), std::byte{0});
  AcceptDatagram again{};
  encode_accept(again, key, kNonce, kResponseHash, body);
  require(again == sealed());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes input = fuzz::input(data, size).subspan(1);
  switch (data[0] % 3) {
    case 0:
      check_datagram(input);
      break;
    case 1:
      check_response_text(input);
      break;
    default:
      check_accept_text(input);
      break;
  }
  return 0;
}
