// What very many idle peers cost a server endpoint: its memory, and its CPU time for their keep-alives. The
// engine alone, in virtual time; its clients are stubs.
//
//   bench_million PEERS SECONDS WINDOWS
//
// Every stub connects by the handshake, then sends a PING each 20 s (the token's timeout is 60 s), spread
// evenly, and answers what the server asks of it: PINGs with PONGs, NEW_IDs with ACKs. Datagrams take a tick
// of 1 ms. A stub differs from a client in what the server cannot see: all have one X25519 key pair, and none
// measures the server's clock at first.
//
// Measured, once every peer has settled: the CPU time of the thread inside the endpoint's functions and the
// copying of its output, the median of WINDOWS times SECONDS simulated seconds; and the memory that the
// endpoint and the state of its gateway hold. Stubs live in memory of their own and are not counted. Prints
// one JSON object.
#include <cstdio>

#ifdef __linux__

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "engine/gateway_state.hpp"
#include "udp_support.hpp"
#include "wire/connect_token.hpp"
#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"
#include "wire/session_packet.hpp"

namespace hawser::bench {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr Duration kTick = milliseconds(1);
constexpr std::uint32_t kTicksPerSecond = 1'000;
constexpr std::uint32_t kKeepAliveTicks = 20 * kTicksPerSecond;
constexpr Duration kTimeout = seconds(60);
// What the default budget for handshakes allows, with a little to spare.
constexpr std::uint32_t kConnectsPerTick = 5;
// A server pings a peer once a second until its clock has settled, and once more after 30 s.
constexpr std::uint32_t kSettlingTicks = 45 * kTicksPerSecond;
// Attempts at any one time: three exchanges of two ticks.
constexpr std::size_t kAttempts = 128;
constexpr std::uint64_t kProtocol = 1;
constexpr Instant kStart{seconds(1'000)};
constexpr WallTime kStartWall{milliseconds(1'800'000'000'000)};
const SocketAddress kGateway = SocketAddress::ipv4({192, 0, 2, 1}, 4000);

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "bench_million: %s\n", what);
  std::exit(1);
}

Key key_of(std::uint8_t fill) {
  Key key;
  for (std::byte& byte : key.mutable_bytes()) byte = std::byte{fill};
  return key;
}

// ---- memory

// Zeroed memory that no allocator counts.
template <class T>
std::span<T> map_array(std::size_t count) {
  void* const memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  require(memory != MAP_FAILED, "no memory for the stubs");
  T* const first = static_cast<T*>(memory);
  std::uninitialized_value_construct_n(first, count);
  return {first, count};
}

// What malloc has given out, with its own headers.
std::size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::size_t resident_peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

// ---- the network

// A datagram between the server and the stub of this number.
template <std::size_t kCapacity>
struct Letter {
  std::uint32_t stub = 0;
  std::uint32_t size = 0;
  std::array<std::byte, kCapacity> bytes;

  MutableBytes view() { return std::span(bytes).first(size); }
};

// Letters of one tick. A stub sends the longest ones, REQUEST and RESPONSE.
template <std::size_t kCapacity>
class Letters {
 public:
  explicit Letters(std::size_t most) : letters_(map_array<Letter<kCapacity>>(most)) {}

  Letter<kCapacity>& add(std::uint32_t stub) {
    require(count_ < letters_.size(), "too many datagrams in a tick");
    Letter<kCapacity>& letter = letters_[count_++];
    letter.stub = stub;
    return letter;
  }
  [[nodiscard]] std::span<Letter<kCapacity>> all() { return letters_.first(count_); }
  void clear() { count_ = 0; }

 private:
  std::span<Letter<kCapacity>> letters_;
  std::size_t count_ = 0;
};

using ToServer = Letters<kRequestSize>;
using FromServer = Letters<256>;
static_assert(kResponseSize <= kRequestSize);
constexpr std::size_t kMostLetters = 16'384;

// 10.x.y.z with the number of the stub.
SocketAddress address_of(std::uint32_t stub) {
  SocketAddress address = SocketAddress::ipv4({10, 0, 0, 0}, 5000);
  for (std::size_t i = 0; i < 3; ++i) address.ip[3 - i] = static_cast<std::byte>(stub >> (8 * i));
  return address;
}
std::uint32_t stub_at(const SocketAddress& address) {
  std::uint32_t stub = 0;
  for (std::size_t i = 1; i < 4; ++i) stub = stub << 8U | std::to_integer<std::uint32_t>(address.ip[i]);
  return stub;
}
constexpr std::uint32_t kMostPeers = 1U << 24U;

// ---- the stubs

// What a connected stub keeps.
struct Stub {
  PacketKey send;
  PacketKey receive;
  ConnectionId server_id;
  bool connected = false;
  std::uint16_t next_ping = 0;
  std::uint32_t next_packet = 0;
  std::uint32_t next_expected = 0;
};

// What it needs until then.
struct Attempt {
  PublicToken token;
  TokenId token_id{};
  HandshakeKeys keys;
  RequestDatagram request{};
  ResponseDatagram response{};
  ChallengePlaintext challenge{};
};

// All the stubs: datagrams for the server come out in `output`.
class Stubs {
 public:
  explicit Stubs(std::uint32_t count)
      : output(kMostLetters),
        stubs_(map_array<Stub>(count)),
        attempts_(map_array<Attempt>(kAttempts)),
        random_(1),
        share_(KeyPair::generate(random_)) {
    // Of default_channels(), as Endpoint takes it.
    std::vector<ChannelDigestEntry> entries;
    const std::vector<ChannelDeclaration> channels = default_channels();
    entries.reserve(channels.size());
    for (const ChannelDeclaration& channel : channels) {
      entries.push_back(
          {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
    }
    channels_ = channels_digest(entries);
  }

  // Goes to the next tick: what is sent from now on is another tick's.
  void begin_tick(Instant now) {
    now_ = now;
    output.clear();
  }

  void connect(std::uint32_t number) {
    Attempt& attempt = attempt_of(number);
    TokenParameters parameters;
    parameters.protocol_id = kProtocol;
    parameters.key_id = 1;
    parameters.create = kStartWall;
    parameters.expire = kStartWall + std::chrono::hours(1);
    parameters.client_id = number + std::uint64_t{1};
    parameters.timeout = kTimeout;
    parameters.addresses = std::span(&kGateway, 1);
    std::array<std::byte, kMaxTokenSize> bytes;
    const auto size = mint_token(bytes, parameters, key_of(1), random_);
    require(size.has_value(), "no token");
    auto token = decode_public_token(Bytes(bytes).first(*size));
    require(token.has_value(), "no token");
    attempt.token = std::move(*token);
    attempt.token_id = token_id(attempt.token.sealed_private);
    attempt.keys = HandshakeKeys::from(attempt.token.client_to_server, attempt.token.server_to_client);
    encode_request(attempt.request, attempt.token, share_.share);
    send(number, attempt.request);
  }

  void keep_alive(std::uint32_t number) {
    Stub& stub = stubs_[number];
    if (!stub.connected) return;
    std::array<std::byte, kFrameRoom> storage;
    ByteWriter writer(storage);
    require(write_ping(writer, stub.next_ping++), "no room");
    send_packet(number, writer.written());
    ++keep_alives;
  }

  void receive(std::uint32_t number, MutableBytes datagram) {
    require(number < stubs_.size(), "a datagram for nobody");
    switch (classify(std::to_integer<std::uint8_t>(datagram[0]))) {
      case DatagramKind::kChallenge:
        return receive_challenge(number, datagram);
      case DatagramKind::kAccept:
        return receive_accept(number, datagram);
      case DatagramKind::kSession:
        return receive_packet(number, datagram);
      default:
        require(false, "an answer that no stub should get");
    }
  }

  ToServer output;
  std::uint64_t keep_alives = 0;

 private:
  static constexpr std::size_t kFrameRoom = 128;
  static constexpr std::uint32_t kFeatures =
      kFeatureChannels | kFeatureKeyUpdate | kFeatureRoaming | kFeaturePathMtu;

  Attempt& attempt_of(std::uint32_t number) { return attempts_[number % kAttempts]; }

  // Names the stub, as an id that a client chose at random would.
  static ConnectionId own_id(std::uint32_t number) {
    ConnectionId id;
    id.length = 8;
    store_little_endian(id.bytes.data(), number);
    return id;
  }

  void send(std::uint32_t number, Bytes datagram) {
    auto& letter = output.add(number);
    letter.size = static_cast<std::uint32_t>(datagram.size());
    std::ranges::copy(datagram, letter.bytes.begin());
  }

  void send_packet(std::uint32_t number, Bytes frames) {
    Stub& stub = stubs_[number];
    auto& letter = output.add(number);
    const std::size_t header = encode_session_header(letter.bytes, 0, stub.server_id, stub.next_packet);
    std::ranges::copy(frames, letter.bytes.begin() + static_cast<std::ptrdiff_t>(header));
    letter.size = static_cast<std::uint32_t>(header + frames.size() + kTagSize);
    stub.send.seal_in_place(stub.next_packet++, Bytes(letter.bytes).first(header),
                            letter.view().subspan(header));
  }

  void receive_challenge(std::uint32_t number, Bytes datagram) {
    Attempt& attempt = attempt_of(number);
    ChallengeBody body;
    require(open_challenge(datagram, attempt.keys.challenge, attempt.token_id, share_.share, body),
            "a CHALLENGE did not open");
    attempt.challenge = body.plaintext;
    Nonce nonce{};
    random_.fill(nonce);
    encode_response(attempt.response, attempt.request, body.cookie(), attempt.keys.response, nonce,
                    ResponseBody{.features = kFeatures,
                                 .connection_id = own_id(number),
                                 .max_datagram = kLeastMaxDatagram,
                                 .credit = 1 << 20,
                                 .channel_credit = 1 << 20,
                                 .channels = channels_});
    send(number, attempt.response);
  }

  void receive_accept(std::uint32_t number, Bytes datagram) {
    Attempt& attempt = attempt_of(number);
    AcceptBody body;
    require(open_accept(datagram, attempt.keys.accept, response_hash(attempt.response), body),
            "an ACCEPT did not open");
    agree(std::span(attempt.challenge).last<kShareSize>());
    const Prk prk = session_prk(attempt.token.client_to_server, attempt.token.server_to_client, shared_,
                                body.random, transcript(attempt.response, attempt.challenge, datagram));
    Stub& stub = stubs_[number];
    stub.send = packet_key(prk, Direction::kClientToServer, 0);
    stub.receive = packet_key(prk, Direction::kServerToClient, 0);
    stub.server_id = body.connection_id;
    stub.connected = true;
    keep_alive(number);
  }

  // The server has a new share each second, and every stub the same.
  void agree(ShareView server_share) {
    if (std::ranges::equal(server_share, agreed_with_)) return;
    require(x25519(shared_, share_.secret, server_share), "a share of small order");
    std::ranges::copy(server_share, agreed_with_.begin());
  }

  void receive_packet(std::uint32_t number, MutableBytes datagram) {
    Stub& stub = stubs_[number];
    const auto header = decode_session_header(datagram, own_id(number).length);
    require(header.has_value(), "a packet too short");
    const std::uint64_t packet = expand_packet_number(stub.next_expected, header->truncated_packet_number);
    const MutableBytes sealed = datagram.subspan(header->size);
    require(stub.receive.open_in_place(packet, datagram.first(header->size), sealed),
            "a packet did not open");
    stub.next_expected = static_cast<std::uint32_t>(packet) + 1;
    answer(number, packet, sealed.first(sealed.size() - kTagSize));
  }

  void answer(std::uint32_t number, std::uint64_t packet, Bytes payload) {
    std::array<std::byte, kFrameRoom> storage;
    ByteWriter writer(storage);
    bool acknowledged = false;
    FrameReader reader(payload);
    for (Frame frame; reader.next(frame);) {
      if (frame.type == FrameType::kPing) {
        const auto time = static_cast<std::uint64_t>(now_.time_since_epoch().count());
        require(write_pong(writer, frame.ping.sequence, time, Duration(0)), "no room");
      } else if (frame.type == FrameType::kNewId) {
        const AckRange range{packet, packet};
        require(acknowledged || write_ack(writer, Duration(0), std::span(&range, 1)), "no room");
        acknowledged = true;
      } else {
        require(frame.type == FrameType::kPong || frame.type == FrameType::kPadding, "an unexpected frame");
      }
    }
    require(!reader.failed(), "a packet against the rules");
    if (writer.position() > 0) send_packet(number, writer.written());
  }

  std::span<Stub> stubs_;
  std::span<Attempt> attempts_;
  SeededRandom random_;
  KeyPair share_;
  Share agreed_with_{};
  Secret<32> shared_;
  Hash128 channels_{};
  Instant now_{};
};

// ---- the server

// The endpoint, what it needs, and the time that it took.
class Server {
 public:
  explicit Server(std::uint32_t peers)
      : input(kMostLetters),
        slab_(map_array<std::byte>(std::size_t{4} << 20U)),
        descriptors_(map_array<EventDescriptor>(1U << 16U)),
        events_(slab_, descriptors_),
        random_(2),
        gateway_random_(3) {
    heap_before_ = heap_bytes();
    resident_before_ = resident_peak_bytes();
    GatewayOptions gateway;
    gateway.protocol_id = kProtocol;
    gateway.keys.push_back(ServerKey{1, key_of(1)});
    gateway.advertised_addresses.push_back(kGateway);
    gateway.reset_key = key_of(2);
    gateway.max_peers = peers;
    gateway.started = kStartWall - std::chrono::hours(1);
    gateway_ = std::make_unique<GatewayState>(std::move(gateway), gateway_random_);
    EndpointOptions options;
    options.mode = Mode::kServer;
    options.max_sessions = peers;
    endpoint_ =
        std::make_unique<Endpoint>(options, gateway_.get(), random_, events_, Counters(counters_), kStart);
    endpoint_->set_wall_clock(kStart, kStartWall);
  }

  // One turn: what the stubs have sent comes in, what leaves goes to `input`.
  void turn(ToServer& arriving, Instant now) {
    input.clear();
    const nanoseconds began = thread_cpu_time();
    std::array<ReceivedDatagram, Endpoint::kLookAhead> batch;
    for (auto letters = arriving.all(); !letters.empty();) {
      const std::size_t count = std::min(letters.size(), batch.size());
      for (std::size_t i = 0; i < count; ++i)
        batch[i] = {letters[i].view(), address_of(letters[i].stub), kGateway, 0};
      const std::span<const ReceivedDatagram> datagrams = std::span(batch).first(count);
      endpoint_->look_ahead(datagrams);
      for (const ReceivedDatagram& datagram : datagrams) {
        endpoint_->receive(datagram, now);
        if (endpoint_->wants_flush()) flush(now);
      }
      letters = letters.subspan(count);
    }
    endpoint_->advance(now);
    flush(now);
    cpu += thread_cpu_time() - began;
    for (const EventDescriptor& event : events_.descriptors())
      require(event.kind() == EventKind::kConnect, "an event that is not a connection");
    events_.clear();
  }

  [[nodiscard]] std::uint64_t count(Counter counter) const {
    return counters_[static_cast<std::size_t>(counter)];
  }
  [[nodiscard]] std::uint32_t connected() const { return endpoint_->connected(); }
  // Of the endpoint and the gateway's state together: by malloc's own books, and the most that was resident.
  [[nodiscard]] std::size_t heap() const { return heap_bytes() - heap_before_; }
  [[nodiscard]] std::size_t resident_peak() const { return resident_peak_bytes() - resident_before_; }
  [[nodiscard]] std::size_t reported() const { return endpoint_->memory_bytes(); }

  FromServer input;  // of the stubs
  nanoseconds cpu{};

 private:
  void flush(Instant now) {
    endpoint_->flush(now);
    for (auto output = endpoint_->output(); !output.empty(); output = endpoint_->output()) {
      for (const OutgoingDatagram& datagram : output) {
        auto& letter = input.add(stub_at(datagram.remote));
        require(datagram.bytes.size() <= letter.bytes.size(), "a datagram too long");
        letter.size = static_cast<std::uint32_t>(datagram.bytes.size());
        std::memcpy(letter.bytes.data(), datagram.bytes.data(), datagram.bytes.size());
      }
      endpoint_->output_sent(output.size());
    }
  }

  std::span<std::byte> slab_;
  std::span<EventDescriptor> descriptors_;
  EventQueue events_;
  SeededRandom random_;
  SeededRandom gateway_random_;
  std::array<std::uint64_t, kCounterCount> counters_{};
  std::size_t heap_before_ = 0;
  std::size_t resident_before_ = 0;
  std::unique_ptr<GatewayState> gateway_;
  std::unique_ptr<Endpoint> endpoint_;
};

// ---- the run

struct Options {
  std::uint32_t peers = 0;
  std::uint32_t seconds = 0;
  std::uint32_t windows = 0;
};

std::optional<Options> read_options(std::span<char*> arguments) {
  if (arguments.size() != 4) return std::nullopt;
  const auto peers = number(arguments[1], kMostPeers);
  const auto length = number(arguments[2], 3'600);
  const auto windows = number(arguments[3], 100);
  if (!peers || !length || !windows) return std::nullopt;
  return Options{*peers, *length, *windows};
}

class Run {
 public:
  explicit Run(const Options& options) : options_(options), stubs_(options.peers), server_(options.peers) {}

  int operator()() {
    const nanoseconds began = thread_cpu_time();
    while (begun_ < options_.peers) tick();
    run(kSettlingTicks);
    require(server_.connected() == options_.peers, "not every stub is connected");
    const nanoseconds connected = thread_cpu_time() - began;
    std::vector<double> shares;
    const Totals before = totals();
    for (std::uint32_t window = 0; window < options_.windows; ++window) {
      const nanoseconds cpu = server_.cpu;
      run(options_.seconds * kTicksPerSecond);
      shares.push_back(std::chrono::duration<double, std::milli>(server_.cpu - cpu).count() /
                       options_.seconds);
    }
    const Totals after = totals();
    require(server_.connected() == options_.peers, "a peer was lost");
    print(shares, before, after, connected);
    return 0;
  }

 private:
  // What has happened since the start.
  struct Totals {
    std::uint64_t keep_alives;
    std::uint64_t received;
    std::uint64_t sent;
    std::uint64_t timers;
    nanoseconds cpu;
  };

  [[nodiscard]] Totals totals() const {
    return {stubs_.keep_alives, server_.count(Counter::packetsOpened), server_.count(Counter::packetsSealed),
            server_.count(Counter::timersFired), server_.cpu};
  }

  void run(std::uint32_t ticks) {
    while (ticks-- > 0) tick();
  }

  void tick() {
    ++tick_;
    const Instant now = kStart + kTick * tick_;
    stubs_.begin_tick(now);
    for (auto& letter : server_.input.all()) stubs_.receive(letter.stub, letter.view());
    for (std::uint32_t stub = tick_ % kKeepAliveTicks; stub < begun_; stub += kKeepAliveTicks)
      stubs_.keep_alive(stub);
    for (std::uint32_t i = 0; i < kConnectsPerTick && begun_ < options_.peers; ++i) stubs_.connect(begun_++);
    server_.turn(stubs_.output, now);
  }

  void print(std::vector<double>& shares, const Totals& before, const Totals& after,
             nanoseconds connected) const {
    const double time = static_cast<double>(options_.seconds) * options_.windows;
    const auto rate = [&](std::uint64_t from, std::uint64_t to) {
      return static_cast<double>(to - from) / time;
    };
    std::ranges::sort(shares);
    const std::size_t middle = shares.size() / 2;
    const double median = shares.size() % 2 != 0 ? shares[middle] : (shares[middle - 1] + shares[middle]) / 2;
    const auto cpu = std::chrono::duration<double, std::micro>(after.cpu - before.cpu).count();
    std::printf(R"({"peers":%u,"cpuMsPerSecond":%.3f,"cpuMsPerSecondLeast":%.3f,)", options_.peers, median,
                shares.front());
    std::printf(R"("cpuMsPerSecondMost":%.3f,"cpuMicrosPerKeepAlive":%.4f,)", shares.back(),
                cpu / static_cast<double>(after.keep_alives - before.keep_alives));
    std::printf(R"("keepAlivesPerSecond":%.0f,"packetsInPerSecond":%.0f,"packetsOutPerSecond":%.0f,)",
                rate(before.keep_alives, after.keep_alives), rate(before.received, after.received),
                rate(before.sent, after.sent));
    std::printf(R"("timersPerSecond":%.0f,"heapBytes":%zu,"reportedBytes":%zu,"residentPeakBytes":%zu,)",
                rate(before.timers, after.timers), server_.heap(), server_.reported(),
                server_.resident_peak());
    std::printf(R"("connectCpuSeconds":%.1f})"
                "\n",
                std::chrono::duration<double>(connected).count());
  }

  Options options_;
  Stubs stubs_;
  Server server_;
  std::uint32_t tick_ = 0;
  std::uint32_t begun_ = 0;  // stubs that have begun to connect
};

}  // namespace

}  // namespace hawser::bench

int main(int count, char** arguments) {
  using namespace hawser;
  const auto options = bench::read_options(std::span(arguments, static_cast<std::size_t>(count)));
  if (!options) {
    std::fputs("usage: bench_million PEERS SECONDS WINDOWS\n", stderr);
    return 2;
  }
  bench::require(initialise(), "libsodium failed");
  return bench::Run(*options)();
}

#else

int main() {
  std::fputs("bench_million: this system cannot tell what it measures\n", stderr);
  return 1;
}

#endif
