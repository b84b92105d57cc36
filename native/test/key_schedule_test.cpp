#include "crypto/key_schedule.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "wire_support.hpp"

namespace hawser {
namespace {

using test::counting;
using test::to_hex;

// The expected values were computed by another BLAKE2b implementation (Python's hashlib) from
// docs/protocol.md, with inputs that count upwards from a start of their own.

TEST_CASE("key schedule: handshake keys and the token id") {
  const auto keys = HandshakeKeys::from(Key(counting<32>(0)), Key(counting<32>(0x40)));
  CHECK(to_hex(keys.challenge.bytes()) == "2c53d9e0c5e9088ad57abf408304dfd3443110ad6e73c69e253fe550ac0d1025");
  CHECK(to_hex(keys.denied.bytes()) == "437afb1332447d1b5efead76a37bceb36fbab038e66c2d2bb366eccca074b85d");
  CHECK(to_hex(keys.accept.bytes()) == "5017a3710b9fb5cfd0588e03834376de471548a3a9667a6e6158c3cff1ae8a58");
  CHECK(to_hex(keys.response.bytes()) == "1ef22f09130181c38b0756dc425fa451e0cbe8bdee20223271219ab97def7e85");
  CHECK(to_hex(token_id(counting<976>(4))) ==
        "4ed1873ec526f0e0775dd1bb9788b76b2a938d20bf065e2fabff795ae00f6e43");
}

TEST_CASE("key schedule: transcript, prk, keys and salts, exporter") {
  const Hash256 th = transcript(counting<1198>(1), counting<53>(2), counting<137>(3));
  CHECK(to_hex(th) == "77139f4db07be26eb867b1fd8ddf9689a4bbf1c3fd4e35b19c3b9f3aeaabd85a");

  const Prk prk = session_prk(Key(counting<32>(0)), Key(counting<32>(0x40)), Secret<32>(counting<32>(0x80)),
                              counting<32>(0xc0), th);
  CHECK(to_hex(prk.bytes()) ==
        "c1dc84950daa13fd8b34eb44ad47c9a7c2066df68420e7691a448ff0804ac6d4"
        "c2038ec08092a74242b3528ed0820bde8e4629fde51ddefb4bec26695d4b43ba");

  using Direction::kClientToServer;
  using Direction::kServerToClient;
  CHECK(to_hex(traffic_key(prk, kClientToServer, 0).bytes()) ==
        "bd69f95f450783c5aeb477587d3d041cfd7d4f42f01176954da83cfbcd61af75");
  CHECK(to_hex(traffic_salt(prk, kClientToServer, 0)) == "78c7cc434e4f6580dfca9181dfa2fe22");
  CHECK(to_hex(traffic_key(prk, kClientToServer, 1).bytes()) ==
        "abec839e458d7565c5fc4daacfbf4eae8af7fdee2df03bdeca08b260501d2cf3");
  CHECK(to_hex(traffic_salt(prk, kClientToServer, 0x01020304)) == "5ae0aa327a368e94e160a5362972fa66");
  CHECK(to_hex(traffic_key(prk, kServerToClient, 0).bytes()) ==
        "488d5d90f4d9bb67ed9d1b08788e4eca2f7e84b1a770ec5d0fd91411c1fa5c80");
  CHECK(to_hex(traffic_salt(prk, kServerToClient, 1)) == "893a20ade7b28e3e82f42883d7203169");
  CHECK(to_hex(traffic_key(prk, kServerToClient, 0x01020304).bytes()) ==
        "80b771011ee7b3ceaa778e57aae7290353f9a9ac1c3031ce7a209e4d7f4e5677");

  const Key exporter = exporter_secret(prk);
  CHECK(to_hex(exporter.bytes()) == "3da7f9ec5a99d13b52031a6dabb62f41dd919d794ae55e93ff74c1fa665ccc38");
  CHECK(to_hex(export_key(exporter, "g\xc3\xa9o").bytes()) ==
        "055c836ad30773792366d8cc35ae4e48188d154999df173baaf4710c10f75db8");
}

TEST_CASE("key schedule: a packet key is made of its epoch's key and salt") {
  const Prk prk(counting<64>(9));
  const PacketKey derived = packet_key(prk, Direction::kServerToClient, 5);
  std::array<std::byte, 40> packet = counting<40>(0);
  derived.seal_in_place(1234, {}, packet);

  Nonce nonce{};
  const Salt salt = traffic_salt(prk, Direction::kServerToClient, 5);
  std::copy(salt.begin(), salt.end(), nonce.begin());
  store_little_endian(nonce.data() + kSaltSize, std::uint64_t{1234});
  std::array<std::byte, 24> opened{};
  REQUIRE(open(opened, traffic_key(prk, Direction::kServerToClient, 5), nonce, {}, packet));
  CHECK(to_hex(opened) == to_hex(counting<24>(0)));
}

TEST_CASE("key schedule: no direction or epoch shares a key or a salt with another") {
  const Prk prk(counting<64>(3));
  std::set<std::string> seen;
  for (const Direction direction : {Direction::kClientToServer, Direction::kServerToClient}) {
    for (std::uint32_t epoch = 0; epoch < 64; ++epoch) {
      CHECK(seen.insert(to_hex(traffic_key(prk, direction, epoch).bytes())).second);
      CHECK(seen.insert(to_hex(traffic_salt(prk, direction, epoch))).second);
    }
  }
}

TEST_CASE("key schedule: every input of prk changes it") {
  const auto base = [](unsigned c2s, unsigned s2c, unsigned shared, unsigned random, unsigned th) {
    return to_hex(session_prk(Key(counting<32>(c2s)), Key(counting<32>(s2c)),
                              Secret<32>(counting<32>(shared)), counting<32>(random), counting<32>(th))
                      .bytes());
  };
  const std::set<std::string> all = {base(0, 1, 2, 3, 4), base(9, 1, 2, 3, 4), base(0, 9, 2, 3, 4),
                                     base(0, 1, 9, 3, 4), base(0, 1, 2, 9, 4), base(0, 1, 2, 3, 9),
                                     base(1, 0, 2, 3, 4)};
  CHECK(all.size() == 7);
}

TEST_CASE("key schedule: cookie MAC and reset token") {
  const Key key(counting<32>(0x20));
  const SocketAddress ipv4 = SocketAddress::ipv4({192, 0, 2, 7}, 40000);
  std::array<std::uint8_t, 16> ip{};
  for (std::size_t i = 0; i < ip.size(); ++i) ip[i] = static_cast<std::uint8_t>(0x20 + i);
  const SocketAddress ipv6 = SocketAddress::ipv6(ip, 40000, 9);
  const auto mac = [&](const SocketAddress& source) {
    return to_hex(
        cookie_mac(key, 0xdeadbeef, 200, source, counting<16>(5), counting<32>(6), counting<32>(7)));
  };
  CHECK(mac(ipv4) == "e02c5593e2581d1e9d7ddb9c170571f6");
  CHECK(mac(ipv6) == "383426170c5c27dfc8e481d218ef50a3");
  CHECK(to_hex(reset_token(key, counting<8>(9))) == "9e35a68df5f1fd72a9fe70b3717e9033");
}

TEST_CASE("key schedule: a cookie's MAC covers each of its inputs") {
  const Key key(counting<32>(0x20));
  const SocketAddress source = SocketAddress::ipv4({192, 0, 2, 7}, 40000);
  const SocketAddress other_port = SocketAddress::ipv4({192, 0, 2, 7}, 40001);
  const SocketAddress other_ip = SocketAddress::ipv4({192, 0, 2, 8}, 40000);
  const auto a = counting<32>(5);
  const auto b = counting<32>(6);
  const auto t = counting<16>(5);
  const auto other_tag = counting<16>(6);
  const std::set<std::string> all = {
      to_hex(cookie_mac(key, 1, 2, source, t, a, a)),
      to_hex(cookie_mac(Key(counting<32>(0x21)), 1, 2, source, t, a, a)),
      to_hex(cookie_mac(key, 2, 2, source, t, a, a)),
      to_hex(cookie_mac(key, 1, 3, source, t, a, a)),
      to_hex(cookie_mac(key, 1, 2, other_port, t, a, a)),
      to_hex(cookie_mac(key, 1, 2, other_ip, t, a, a)),
      to_hex(cookie_mac(key, 1, 2, source, other_tag, a, a)),
      to_hex(cookie_mac(key, 1, 2, source, t, b, a)),
      to_hex(cookie_mac(key, 1, 2, source, t, a, b)),
  };
  CHECK(all.size() == 9);
}

TEST_CASE("key schedule: the digest of a declaration of channels") {
  CHECK(to_hex(channels_digest(std::array{ChannelDigestEntry{0, 0, "default", "bytes"}})) ==
        "2734b3fde923a8c5b5cf1b210ac69422");
  const std::string longest_name(64, 'x');
  const std::string longest_codec(64, 'y');
  const std::array channels = {
      ChannelDigestEntry{0, 0, "moves", "bytes"}, ChannelDigestEntry{1, 65536, "caf\xc3\xa9", "json"},
      ChannelDigestEntry{2, 16777216, longest_name, longest_codec}, ChannelDigestEntry{3, 1, "z", ""}};
  CHECK(to_hex(channels_digest(channels)) == "60e097ef6ea31dbb10bf2f7c1c72a110");
  CHECK(to_hex(channels_digest({})) == "cd4e63276fb8da0f06108c7776c1bb61");
}

TEST_CASE("key schedule: everything of a declaration changes its digest, its order too") {
  using Channels = std::vector<ChannelDigestEntry>;
  const std::string name(64, 'n');
  std::set<std::string> all;
  const std::array declarations = {
      Channels{{0, 0, "a", "b"}},
      Channels{{1, 0, "a", "b"}},
      Channels{{0, 1, "a", "b"}},
      Channels{{0, 0, "c", "b"}},
      Channels{{0, 0, "a", "c"}},
      // The border between name and codec is part of it.
      Channels{{0, 0, "ab", ""}},
      Channels{{0, 0, "a", "b"}, {1, 2, "c", "d"}},
      Channels{{1, 2, "c", "d"}, {0, 0, "a", "b"}},
      Channels(1024, {3, 16777216, name, name}),
      Channels(1023, {3, 16777216, name, name}),
  };
  for (const Channels& channels : declarations) CHECK(all.insert(to_hex(channels_digest(channels))).second);
}

}  // namespace
}  // namespace hawser
