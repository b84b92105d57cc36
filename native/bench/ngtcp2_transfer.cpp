// One bidirectional stream of QUIC over ngtcp2 and GnuTLS between two processes, for the rows about paths:
// see path_transfer.hpp. Messages have their length in front, two bytes, little-endian.
//
// The library does no input and output, so that this program does: batches of datagrams by sendmmsg(2) and
// recvmmsg(2). Congestion control is CUBIC, the library's default.
#include <cstdio>

#if defined(__linux__) && defined(HAWSER_HAS_RIVAL)

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "path_transfer.hpp"
#include "udp_support.hpp"

namespace {

using namespace hawser::bench;

constexpr std::size_t kHeaderBytes = 2;
constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kDatagramBytes = 1472;  // what Ethernet carries
constexpr std::uint64_t kWindowBytes = 16 * 1024 * 1024;
// Bytes that wait for congestion control, before it takes no more.
constexpr std::size_t kMostWaiting = 1024 * 1024;
constexpr const char* kPriority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE";
constexpr std::string_view kProtocol = "path";

ngtcp2_tstamp timestamp() {
  const auto since = SteadyClock::now().time_since_epoch();
  return static_cast<ngtcp2_tstamp>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

void fill_random(std::uint8_t* bytes, std::size_t size) {
  static_cast<void>(gnutls_rnd(GNUTLS_RND_RANDOM, bytes, size));
}

ngtcp2_cid random_id() {
  ngtcp2_cid id{};
  id.datalen = kIdBytes;
  fill_random(id.data, kIdBytes);
  return id;
}

// A key pair and a certificate of its own, which the other side does not check.
class Credentials {
 public:
  Credentials() { gnutls_certificate_allocate_credentials(&credentials_); }
  ~Credentials() { gnutls_certificate_free_credentials(credentials_); }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // Returns false if GnuTLS refuses.
  [[nodiscard]] bool make_certificate() {
    gnutls_x509_privkey_t key = nullptr;
    gnutls_x509_crt_t certificate = nullptr;
    gnutls_x509_privkey_init(&key);
    gnutls_x509_crt_init(&certificate);
    const bool made =
        sign(key, certificate) && gnutls_certificate_set_x509_key(credentials_, &certificate, 1, key) >= 0;
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
    return made;
  }

  [[nodiscard]] gnutls_certificate_credentials_t get() const { return credentials_; }

 private:
  static bool sign(gnutls_x509_privkey_t key, gnutls_x509_crt_t certificate) {
    constexpr std::time_t kHour = 3600;
    constexpr std::uint8_t kSerial = 1;
    const std::time_t now = std::time(nullptr);
    return gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0 &&
           gnutls_x509_crt_set_version(certificate, 3) == 0 &&
           gnutls_x509_crt_set_serial(certificate, &kSerial, 1) == 0 &&
           gnutls_x509_crt_set_activation_time(certificate, now - kHour) == 0 &&
           gnutls_x509_crt_set_expiration_time(certificate, now + 24 * kHour) == 0 &&
           gnutls_x509_crt_set_key(certificate, key) == 0 &&
           gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) == 0;
  }

  gnutls_certificate_credentials_t credentials_ = nullptr;
};

// The bytes of a stream that are not acknowledged yet: the library wants them to stay where they are.
class StreamBuffer {
 public:
  void append(std::span<const std::byte> message) {
    std::vector<std::uint8_t> block(kHeaderBytes + message.size());
    block[0] = static_cast<std::uint8_t>(message.size() & 0xffU);
    block[1] = static_cast<std::uint8_t>(message.size() >> 8U);
    std::memcpy(block.data() + kHeaderBytes, message.data(), message.size());
    waiting_ += block.size();
    blocks_.push_back(std::move(block));
  }

  [[nodiscard]] std::size_t waiting() const { return waiting_; }

  // Fills `parts` with the next bytes to send. Returns the number of parts.
  std::size_t next(std::span<ngtcp2_vec> parts) {
    std::size_t count = 0;
    std::size_t skip = sent_of_block_;
    for (std::size_t i = sent_blocks_; i < blocks_.size() && count < parts.size(); ++i) {
      parts[count++] = {blocks_[i].data() + skip, blocks_[i].size() - skip};
      skip = 0;
    }
    return count;
  }

  void sent(std::size_t bytes) {
    waiting_ -= bytes;
    sent_of_block_ += bytes;
    while (sent_blocks_ < blocks_.size() && sent_of_block_ >= blocks_[sent_blocks_].size()) {
      sent_of_block_ -= blocks_[sent_blocks_].size();
      ++sent_blocks_;
    }
  }

  // All bytes of the stream before this place are acknowledged.
  void acknowledged(std::uint64_t end) {
    while (sent_blocks_ > 0 && begin_ + blocks_.front().size() <= end) {
      begin_ += blocks_.front().size();
      blocks_.pop_front();
      --sent_blocks_;
    }
  }

 private:
  std::deque<std::vector<std::uint8_t>> blocks_;
  std::uint64_t begin_ = 0;  // place in the stream of the first block
  std::size_t sent_blocks_ = 0;
  std::size_t sent_of_block_ = 0;
  std::size_t waiting_ = 0;
};

// Finds the messages in the bytes of a stream.
class StreamReader {
 public:
  void read(std::span<const std::byte> bytes, MessageSink& sink) {
    while (!bytes.empty()) {
      const std::size_t wanted = rest_.size() < kHeaderBytes ? kHeaderBytes : record_bytes();
      const std::size_t taken = std::min(wanted - rest_.size(), bytes.size());
      rest_.insert(rest_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
      bytes = bytes.subspan(taken);
      if (rest_.size() < kHeaderBytes || rest_.size() < record_bytes()) continue;
      sink.take(std::span(rest_).subspan(kHeaderBytes));
      rest_.clear();
    }
  }

 private:
  [[nodiscard]] std::size_t record_bytes() const {
    return kHeaderBytes +
           (std::to_integer<std::size_t>(rest_[0]) | std::to_integer<std::size_t>(rest_[1]) << 8U);
  }

  std::vector<std::byte> rest_;
};

class QuicEndpoint final : public Endpoint {
 public:
  // Null if the socket or the connection cannot be made.
  static std::unique_ptr<QuicEndpoint> open(const TransferArguments& arguments) {
    auto endpoint = std::unique_ptr<QuicEndpoint>(new QuicEndpoint);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(arguments.port);
    if (inet_pton(AF_INET, arguments.address, &name.sin_addr) != 1) return nullptr;
    const bool opened = arguments.listens ? endpoint->listen(name) : endpoint->connect(name);
    return opened ? std::move(endpoint) : nullptr;
  }

  ~QuicEndpoint() override {
    if (connection_ != nullptr) ngtcp2_conn_del(connection_);
    if (session_ != nullptr) gnutls_deinit(session_);
    if (descriptor_ >= 0) close(descriptor_);
  }

  [[nodiscard]] int descriptor() const override { return descriptor_; }
  [[nodiscard]] unsigned port() const override { return ntohs(local_.sin_port); }
  [[nodiscard]] bool is_connected() const override { return stream_ >= 0 && is_complete_; }
  [[nodiscard]] bool has_failed() const override { return failed_; }
  [[nodiscard]] bool has_room() const override { return buffer_.waiting() < kMostWaiting; }
  void send(std::span<const std::byte> message) override { buffer_.append(message); }

  void service(MessageSink& sink) override {
    sink_ = &sink;
    receive();
    if (connection_ == nullptr || failed_) return;
    if (ngtcp2_conn_get_expiry(connection_) <= timestamp() &&
        ngtcp2_conn_handle_expiry(connection_, timestamp()) != 0) {
      failed_ = true;
      return;
    }
    write();
  }

  [[nodiscard]] std::chrono::nanoseconds patience() const override {
    constexpr auto kLong = std::chrono::nanoseconds(std::chrono::seconds(1));
    if (connection_ == nullptr || failed_) return kLong;
    const ngtcp2_tstamp expiry = ngtcp2_conn_get_expiry(connection_);
    const ngtcp2_tstamp now = timestamp();
    if (expiry <= now) return std::chrono::nanoseconds(0);
    return expiry - now > static_cast<ngtcp2_tstamp>(kLong.count())
               ? kLong
               : std::chrono::nanoseconds(static_cast<std::int64_t>(expiry - now));
  }

 private:
  QuicEndpoint() : incoming_(std::make_unique<Batch>(kMaxDatagram)), outgoing_(std::make_unique<Batch>(0)) {
    reference_.get_conn = [](ngtcp2_crypto_conn_ref* reference) {
      return static_cast<QuicEndpoint*>(reference->user_data)->connection_;
    };
    reference_.user_data = this;
  }

  bool open_socket(const sockaddr_in& name) {
    descriptor_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
    setsockopt(descriptor_, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
    const int probe = IP_PMTUDISC_PROBE;  // no fragments, whatever the kernel believes
    setsockopt(descriptor_, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
    return bind(descriptor_, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 && read_local();
  }

  bool read_local() {
    socklen_t length = sizeof local_;
    return getsockname(descriptor_, reinterpret_cast<sockaddr*>(&local_), &length) == 0;
  }

  bool listen(const sockaddr_in& name) {
    is_server_ = true;
    return open_socket(name) && credentials_.make_certificate();
  }

  bool connect(const sockaddr_in& name) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    remote_ = name;
    if (!open_socket(any) ||
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 || !read_local())
      return false;
    const ngtcp2_cid destination = random_id();
    const ngtcp2_cid source = random_id();
    const ngtcp2_callbacks callbacks = make_callbacks();
    const ngtcp2_settings settings = make_settings();
    const ngtcp2_transport_params parameters = make_parameters();
    const ngtcp2_path path = make_path();
    return ngtcp2_conn_client_new(&connection_, &destination, &source, &path, NGTCP2_PROTO_VER_V1, &callbacks,
                                  &settings, &parameters, nullptr, this) == 0 &&
           make_session();
  }

  bool accept(std::span<const std::byte> datagram) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(datagram.data());
    ngtcp2_pkt_hd header{};
    if (ngtcp2_accept(&header, bytes, datagram.size()) != 0) return false;
    ngtcp2_transport_params parameters = make_parameters();
    parameters.original_dcid = header.dcid;
    const ngtcp2_cid source = random_id();
    const ngtcp2_callbacks callbacks = make_callbacks();
    const ngtcp2_settings settings = make_settings();
    const ngtcp2_path path = make_path();
    return ngtcp2_conn_server_new(&connection_, &header.scid, &source, &path, header.version, &callbacks,
                                  &settings, &parameters, nullptr, this) == 0 &&
           make_session();
  }

  bool make_session() {
    const unsigned flags = is_server_ ? GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_CLIENT;
    if (gnutls_init(&session_, flags) != 0 || gnutls_priority_set_direct(session_, kPriority, nullptr) != 0)
      return false;
    const int configured = is_server_ ? ngtcp2_crypto_gnutls_configure_server_session(session_)
                                      : ngtcp2_crypto_gnutls_configure_client_session(session_);
    gnutls_session_set_ptr(session_, &reference_);
    std::string name(kProtocol);
    const gnutls_datum_t protocol{reinterpret_cast<unsigned char*>(name.data()),
                                  static_cast<unsigned>(name.size())};
    ngtcp2_conn_set_tls_native_handle(connection_, session_);
    return configured == 0 &&
           gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_.get()) == 0 &&
           gnutls_alpn_set_protocols(session_, &protocol, 1, 0) == 0;
  }

  ngtcp2_path make_path() {
    return {.local = {reinterpret_cast<sockaddr*>(&local_), sizeof local_},
            .remote = {reinterpret_cast<sockaddr*>(&remote_), sizeof remote_},
            .user_data = nullptr};
  }

  static ngtcp2_settings make_settings() {
    ngtcp2_settings settings{};
    ngtcp2_settings_default(&settings);
    settings.initial_ts = timestamp();
    settings.cc_algo = NGTCP2_CC_ALGO_CUBIC;
    settings.max_tx_udp_payload_size = kDatagramBytes;
    return settings;
  }

  static ngtcp2_transport_params make_parameters() {
    ngtcp2_transport_params parameters{};
    ngtcp2_transport_params_default(&parameters);
    parameters.initial_max_stream_data_bidi_local = kWindowBytes;
    parameters.initial_max_stream_data_bidi_remote = kWindowBytes;
    parameters.initial_max_data = kWindowBytes;
    parameters.initial_max_streams_bidi = 1;
    return parameters;
  }

  static QuicEndpoint& self(void* user_data) { return *static_cast<QuicEndpoint*>(user_data); }

  ngtcp2_callbacks make_callbacks() const {
    ngtcp2_callbacks callbacks{};
    if (is_server_) {
      callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    } else {
      callbacks.client_initial = ngtcp2_crypto_client_initial_cb;
      callbacks.recv_retry = ngtcp2_crypto_recv_retry_cb;
    }
    callbacks.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    callbacks.encrypt = ngtcp2_crypto_encrypt_cb;
    callbacks.decrypt = ngtcp2_crypto_decrypt_cb;
    callbacks.hp_mask = ngtcp2_crypto_hp_mask_cb;
    callbacks.update_key = ngtcp2_crypto_update_key_cb;
    callbacks.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    callbacks.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    callbacks.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb;
    callbacks.version_negotiation = ngtcp2_crypto_version_negotiation_cb;
    callbacks.rand = [](std::uint8_t* bytes, std::size_t size, const ngtcp2_rand_ctx*) {
      fill_random(bytes, size);
    };
    callbacks.get_new_connection_id = [](ngtcp2_conn*, ngtcp2_cid* id, std::uint8_t* token, std::size_t size,
                                         void*) {
      id->datalen = size;
      fill_random(id->data, size);
      fill_random(token, NGTCP2_STATELESS_RESET_TOKENLEN);
      return 0;
    };
    callbacks.handshake_completed = [](ngtcp2_conn*, void* user_data) {
      self(user_data).is_complete_ = true;
      return 0;
    };
    callbacks.extend_max_local_streams_bidi = [](ngtcp2_conn*, std::uint64_t, void* user_data) {
      return self(user_data).open_stream() ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
    };
    callbacks.stream_open = [](ngtcp2_conn*, std::int64_t stream, void* user_data) {
      self(user_data).stream_ = stream;
      return 0;
    };
    callbacks.recv_stream_data = [](ngtcp2_conn* connection, std::uint32_t, std::int64_t stream,
                                    std::uint64_t, const std::uint8_t* data, std::size_t size,
                                    void* user_data, void*) {
      QuicEndpoint& endpoint = self(user_data);
      endpoint.reader_.read(std::as_bytes(std::span(data, size)), *endpoint.sink_);
      ngtcp2_conn_extend_max_stream_offset(connection, stream, size);
      ngtcp2_conn_extend_max_offset(connection, size);
      return 0;
    };
    callbacks.acked_stream_data_offset = [](ngtcp2_conn*, std::int64_t, std::uint64_t offset,
                                            std::uint64_t size, void* user_data, void*) {
      self(user_data).buffer_.acknowledged(offset + size);
      return 0;
    };
    return callbacks;
  }

  // The first message, which is short, tells the server of the stream.
  bool open_stream() {
    if (is_server_ || stream_ >= 0) return true;
    if (ngtcp2_conn_open_bidi_stream(connection_, &stream_, nullptr) != 0) return false;
    constexpr std::array<std::byte, 1> kHello{};
    buffer_.append(kHello);
    return true;
  }

  void receive() {
    // Both sides have their turn, however fast datagrams come.
    constexpr int kMostBatches = 4;
    for (int batch = 0; batch < kMostBatches; ++batch) {
      for (std::size_t i = 0; i < kBatch; ++i) {
        incoming_->headers[i].msg_hdr.msg_name = &names_[i];
        incoming_->headers[i].msg_hdr.msg_namelen = sizeof names_[i];
      }
      const int got = recvmmsg(descriptor_, incoming_->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      for (int i = 0; i < got; ++i) {
        const auto index = static_cast<std::size_t>(i);
        read_datagram(std::span(incoming_->payloads[index]).first(incoming_->headers[index].msg_len),
                      names_[index]);
      }
      if (got < static_cast<int>(kBatch)) return;
    }
  }

  void read_datagram(std::span<const std::byte> datagram, const sockaddr_in& from) {
    if (failed_) return;
    if (is_server_ && connection_ == nullptr) {
      remote_ = from;
      if (!accept(datagram)) {
        failed_ = connection_ != nullptr;
        return;
      }
    }
    if (connection_ == nullptr) return;
    const ngtcp2_path path = make_path();
    const ngtcp2_pkt_info info{};
    const int result = ngtcp2_conn_read_pkt(connection_, &path, &info,
                                            reinterpret_cast<const std::uint8_t*>(datagram.data()),
                                            datagram.size(), timestamp());
    if (result != 0) failed_ = true;
  }

  // Sends as many datagrams as the library gives for one moment.
  void write() {
    const ngtcp2_tstamp now = timestamp();
    const std::size_t quantum = ngtcp2_conn_get_send_quantum(connection_);
    std::size_t bytes = 0;
    std::size_t count = 0;
    while (count < kBatch && (bytes == 0 || bytes < quantum)) {
      const ngtcp2_ssize written = write_packet(outgoing_->payloads[count], now);
      if (written < 0) failed_ = true;
      if (written <= 0) break;
      outgoing_->segments[count].iov_len = static_cast<std::size_t>(written);
      outgoing_->headers[count].msg_hdr.msg_name = is_server_ ? &remote_ : nullptr;
      outgoing_->headers[count].msg_hdr.msg_namelen = is_server_ ? sizeof remote_ : 0;
      bytes += static_cast<std::size_t>(written);
      ++count;
    }
    ngtcp2_conn_update_pkt_tx_time(connection_, now);
    for (std::size_t sent = 0; sent < count;) {
      const int taken =
          sendmmsg(descriptor_, outgoing_->headers.data() + sent, static_cast<unsigned>(count - sent), 0);
      // A datagram that the kernel refuses is lost; the library sends its content again.
      sent += taken > 0 ? static_cast<std::size_t>(taken) : 1;
    }
  }

  ngtcp2_ssize write_packet(std::span<std::byte> to, ngtcp2_tstamp now) {
    std::array<ngtcp2_vec, 4> parts{};
    const std::size_t count = stream_ < 0 ? 0 : buffer_.next(parts);
    auto* bytes = reinterpret_cast<std::uint8_t*>(to.data());
    ngtcp2_pkt_info info{};
    ngtcp2_ssize taken = -1;
    if (count > 0) {
      const ngtcp2_ssize written =
          ngtcp2_conn_writev_stream(connection_, nullptr, &info, bytes, kDatagramBytes, &taken,
                                    NGTCP2_WRITE_STREAM_FLAG_NONE, stream_, parts.data(), count, now);
      if (taken > 0) buffer_.sent(static_cast<std::size_t>(taken));
      if (written != NGTCP2_ERR_STREAM_DATA_BLOCKED) return written;
    }
    return ngtcp2_conn_writev_stream(connection_, nullptr, &info, bytes, kDatagramBytes, &taken,
                                     NGTCP2_WRITE_STREAM_FLAG_NONE, -1, nullptr, 0, now);
  }

  Credentials credentials_;
  gnutls_session_t session_ = nullptr;
  ngtcp2_conn* connection_ = nullptr;
  ngtcp2_crypto_conn_ref reference_{};
  bool is_server_ = false;
  bool is_complete_ = false;
  bool failed_ = false;
  int descriptor_ = -1;
  sockaddr_in local_{};
  sockaddr_in remote_{};
  std::int64_t stream_ = -1;
  StreamBuffer buffer_;
  StreamReader reader_;
  MessageSink* sink_ = nullptr;
  std::unique_ptr<Batch> incoming_;
  std::unique_ptr<Batch> outgoing_;
  std::array<sockaddr_in, kBatch> names_{};
};

}  // namespace

int main(int count, char** arguments) {
  return run_transfer("bench_ngtcp2_transfer", std::span(arguments, static_cast<std::size_t>(count)),
                      QuicEndpoint::open);
}

#else

int main() {
  std::fputs(
      "ngtcp2 was not there when this program was built: install libngtcp2-dev, libngtcp2-crypto-gnutls-dev "
      "and "
      "libgnutls28-dev\n",
      stderr);
  return 3;
}

#endif
