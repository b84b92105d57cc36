// CPU time of each step with which a gateway serves a handshake datagram. The engine's functions alone,
// without sockets.
//
//   bench_handshake_costs
//
// Each step runs in 9 rounds of about 20 ms; the fastest round counts, since other programs only slow it
// down. Prints one JSON object: nanoseconds per step, by the names of the table in docs/performance.md,
// section "Handshake".
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/sodium.hpp"
#include "engine/cookie_records.hpp"
#include "engine/peer.hpp"
#include "wire/connect_token.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/netcode_token.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a program
// CPU time of this thread in nanoseconds.
double cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Keeps a result alive, so that the compiler cannot remove the work.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

template <class F>
void report(const char* name, const char* separator, F&& step) {
  constexpr int kRounds = 9;
  constexpr double kRound = 20e6;
  std::array<double, kRounds> rounds{};
  for (double& round : rounds) {
    const double start = cpu_time();
    double end = start;
    std::uint64_t count = 0;
    do {
      for (int i = 0; i < 16; ++i) step();
      count += 16;
      end = cpu_time();
    } while (end - start < kRound);
    round = (end - start) / static_cast<double>(count);
  }
  std::ranges::sort(rounds);
  std::printf("\"%s\": %.0f%s", name, rounds[0], separator);
}

}  // namespace

int main() {
  if (!initialise()) return 1;
  SeededRandom random(1);
  const SocketAddress client = SocketAddress::ipv4({10, 0, 0, 2}, 5000);
  const std::array addresses{SocketAddress::ipv4({10, 0, 0, 1}, 4000)};
  Key server_key;
  random.fill(server_key.mutable_bytes());
  TokenParameters parameters;
  parameters.protocol_id = 1;
  parameters.create = WallTime(std::chrono::hours(1));
  parameters.expire = WallTime(std::chrono::hours(2));
  parameters.timeout = std::chrono::seconds(10);
  parameters.addresses = addresses;
  std::vector<std::byte> minted(kMaxTokenSize);
  const auto size = mint_token(minted, parameters, server_key, random);
  if (!size) return 1;
  const auto token = decode_public_token(Bytes(minted).first(*size));
  if (!token) return 1;
  CookieRecords records(random);
  const auto record = records.current(Instant());
  const KeyPair share = KeyPair::generate(random);
  RequestDatagram request{};
  encode_request(request, *token, share.share);
  const auto tag_of = [](std::span<const std::byte, kSealedPrivateTokenSize> sealed) {
    return sealed.last<kTagSize>();
  };
  const auto mac_of = [&](TagView of) {
    return cookie_mac(record->cookie_key, 1, record->index, client, of, share.share, record->share.share);
  };
  const Cookie cookie = Cookie::make(1, record->index, mac_of(tag_of(token->sealed_private)));
  const Nonce nonce{};
  ResponseDatagram response{};
  ResponseBody offer;
  offer.connection_id.length = 8;
  encode_response(response, request, cookie.raw, response_key(token->client_to_server), nonce, offer);
  ResponseDatagram junk_response = response;
  junk_response.back() ^= std::byte{1};
  RequestDatagram junk_request = request;
  junk_request[500] ^= std::byte{1};

  std::printf("{");
  report("parse", ", ", [&] { keep(parse_response(response)); });
  report("cookie", ", ", [&] {
    const auto view = parse_response(response);
    keep(constant_time_equal(mac_of(tag_of(view->sealed_private)), view->cookie.mac));
  });
  const auto open_of = [&](Bytes datagram) {
    const auto view = parse_request(datagram);
    PrivateToken opened;
    keep(open_private_token(view->sealed_private, server_key, view->token_associated_data, view->clear.nonce,
                            opened));
  };
  report("tokenFailed", ", ", [&] { open_of(junk_request); });
  report("tokenOpened", ", ", [&] { open_of(request); });
  report("challenge", ", ", [&] {
    const auto view = parse_request(request);
    const TokenId of = token_id(view->sealed_private);
    ChallengeDatagram out;
    encode_challenge(out, challenge_key(token->server_to_client), nonce, of, view->client_share,
                     Cookie::make(1, 0, mac_of(tag_of(view->sealed_private))).raw, record->share.share);
    keep(out);
  });
  report("denied", ", ", [&] {
    DeniedDatagram out;
    encode_denied(out, denied_key(token->server_to_client), nonce, token_id(token->sealed_private),
                  share.share, DeniedReason::kTokenExpired);
    keep(out);
  });
  const auto open_body = [&](const ResponseDatagram& datagram) {
    const auto view = parse_response(datagram);
    keep(response_hash(datagram));
    ResponseBody body;
    keep(open_response(*view, response_key(token->client_to_server), body));
  };
  report("responseFailed", ", ", [&] { open_body(junk_response); });
  report("responseOpened", ", ", [&] { open_body(response); });
  report("x25519", ", ", [&] {
    Secret<32> shared;
    keep(x25519(shared, record->share.secret, share.share));
  });
  report("session", ", ", [&] {
    Secret<32> shared;
    AcceptDatagram accept;
    AcceptBody body;
    body.connection_id.length = 8;
    encode_accept(accept, accept_key(token->server_to_client), nonce, response_hash(response), body);
    Prk prk = session_prk(token->client_to_server, token->server_to_client, shared, body.random,
                          transcript(response, challenge_plaintext(cookie.raw, record->share.share), accept));
    keep(SessionKeys::derive(std::move(prk), true, 0));
  });

  netcode::TokenParameters netcode_parameters;
  netcode_parameters.expire = 3600;
  netcode_parameters.addresses = addresses;
  std::array<std::byte, netcode::kTokenSize> netcode_token{};
  static_cast<void>(netcode::mint_token(netcode_token, netcode_parameters, server_key, random));
  const auto decoded = netcode::decode_public_token(netcode_token);
  if (!decoded) return 1;
  Key other_key;
  const auto open_netcode = [&](const Key& key) {
    netcode::PrivateToken opened;
    keep(netcode::open_private_token(decoded->sealed_private, key, decoded->protocol_id, decoded->expire,
                                     decoded->nonce, opened));
  };
  report("netcodeTokenFailed", ", ", [&] { open_netcode(other_key); });
  report("netcodeTokenOpened", "", [&] { open_netcode(server_key); });
  std::printf("}\n");
}
