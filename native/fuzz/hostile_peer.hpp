// A peer that holds the keys of its session and sends, correctly sealed, whatever frames a script says.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/key_update.hpp"
#include "fuzz/endpoint_support.hpp"
#include "wire/frames.hpp"

namespace hawser::fuzz {

// Secrets for key updates: both sides know the secrets with even ids.
inline std::optional<Key> secret_of(const SecretId& id) {
  const auto number = std::to_integer<std::uint8_t>(id[0]);
  return number % 2 == 0 ? std::optional(key(number)) : std::nullopt;
}
inline InjectedSecret injected_secret(std::uint8_t number) {
  InjectedSecret secret{{}, key(number)};
  secret.id.fill(std::byte{number});
  return secret;
}

// A number that is small, at the edge of something, or anything.
inline std::uint64_t value(ByteReader& script) {
  constexpr std::array<std::uint64_t, 16> kEdges = {
      0,       512,         513,      1158,     kLongest - 1, kLongest,   kLongest + 1,   kChannelCredit,
      kCredit, 8 * kCredit, 1U << 16, 1U << 20, UINT32_MAX,   1ULL << 32, kVarintMax - 1, kVarintMax};
  const std::uint8_t first = script.u8();
  if (first < 0xc0) return first;
  return first < 0xf8 ? kEdges[first % kEdges.size()] : script.varint();
}

class HostilePeer {
 public:
  explicit HostilePeer(RandomSource& random) : random_(random), holder_(random) {}

  // Begins its handshake: returns the REQUEST.
  Bytes begin(std::vector<std::byte> token, const ResponseBody& offer) {
    return holder_.begin(std::move(token), offer);
  }
  [[nodiscard]] bool accepted() const { return holder_.accepted(); }

  // Takes a datagram that reached `source`; returns an answer of the handshake, or nothing.
  Bytes take(Bytes datagram, std::size_t source, Instant now) {
    if (classify(std::to_integer<std::uint8_t>(datagram[0])) == DatagramKind::kSession) {
      if (accepted()) take_packet({datagram.begin(), datagram.end()}, source, now);
      return {};
    }
    const bool accepted_before = accepted();
    const Bytes answer = holder_.take(datagram);
    if (accepted() && !accepted_before) {
      ids_ = {holder_.remote_id};
      on_keys();
    }
    return answer;
  }

  // A sealed packet of frames from the script.
  std::vector<std::byte> packet(ByteReader& script) {
    const std::uint8_t how = script.u8();
    const std::uint32_t epoch = holder_.keys.epoch + (how & 3U);  // 3 stands for the one before
    const ConnectionId& id = ids_[(how & 4U) == 0 ? 0 : script.u8() % ids_.size()];
    std::uint64_t number = next_number_;
    if ((how & 0x18U) == 0x18) number += value(script);
    if ((how & 0x60U) == 0x60) number -= std::min(number, 1 + value(script));
    next_number_ = std::max(next_number_, number + 1);
    std::vector<std::byte> frames(kMaxReceivedDatagram - kMaxSessionHeaderSize - kTagSize);
    ByteWriter writer(frames);
    std::vector<std::byte> storage(frames.size());
    for (int left = (how & 0x80U) == 0 ? 1 : 1 + script.u8() % 16; left > 0; --left) {
      ByteWriter frame(std::span(storage).first(writer.remaining()));
      write_frame(frame, script);
      if (frame.ok()) writer.bytes(frame.written());
    }
    frames.resize(writer.position());
    return seal(sending_[epoch & 3U], epoch, id, number, frames);
  }

  // Sources whose PATH_CHALLENGE has been answered.
  std::set<std::size_t> validated;

 private:
  void take_packet(std::vector<std::byte> packet, std::size_t source, Instant now) {
    SessionKeys& keys = holder_.keys;
    const auto header = decode_session_header(packet, ConnectionId::kMin * 2);
    if (!header) return;
    const std::uint64_t expected = received_.empty() ? 0 : received_.back() + 1;
    const std::uint64_t number = expand_packet_number(expected, header->truncated_packet_number);
    ReceiveKey* const key = header->epoch_bits == (keys.epoch & 3U)
                                ? &keys.receive
                                : key_update_.receive_key(header->epoch_bits, keys);
    const MutableBytes sealed = std::span(packet).subspan(header->size);
    if (key == nullptr || !key->key.open_in_place(number, Bytes(packet).first(header->size), sealed)) return;
    received_.push_back(number);
    proceed(key_update_.on_opened(*key, keys, now, std::chrono::seconds(1)), now);
    FrameReader reader(sealed.first(sealed.size() - kTagSize));
    for (Frame frame; reader.next(frame);) {
      if (frame.type == FrameType::kPing) ping_ = frame.ping.sequence;
      if (frame.type == FrameType::kPathChallenge) challenges_.emplace_back(source, frame.path.data);
      if (frame.type == FrameType::kNewId) ids_.push_back(frame.new_id.connection_id);
      if (frame.type == FrameType::kKeyUpdate)
        proceed(key_update_.on_update(frame.key_update, keys, random_, now), now);
      if (frame.type == FrameType::kKeyUpdateReply)
        proceed(key_update_.on_reply(frame.key_update, keys), now);
      if (frame.type == FrameType::kKeyUpdateRefused)
        proceed(key_update_.on_refused(frame.key_update_refused, keys), now);
    }
    require(!reader.failed());
  }

  void proceed(KeyUpdateStep step, Instant now) {
    if (step == KeyUpdateStep::kSecretWanted) {
      const SecretId wanted = key_update_.wanted();
      static_cast<void>(key_update_.provide(wanted, secret_of(wanted)));
      step = key_update_.proceed(holder_.keys, random_, now);
    }
    if (step == KeyUpdateStep::kSwitched) on_keys();
    answer_.assign(key_update_.answer().begin(), key_update_.answer().end());
  }
  void on_keys() {
    const SessionKeys& keys = holder_.keys;
    sending_[keys.epoch & 3U] = packet_key(keys.prk, Direction::kClientToServer, keys.epoch);
  }

  // ---- frames

  // One of two channels that suit the frame or, seldom, any.
  static std::uint64_t channel(ByteReader& script, std::uint32_t one, std::uint32_t other) {
    const std::uint8_t how = script.u8();
    if (how >= 0xf8) return value(script);
    return how % 2 == 0 ? one : other;
  }
  // The next number of a channel, for `count` messages, one near it, or any.
  std::uint64_t number(ByteReader& script, std::uint64_t channel, std::uint64_t count = 1) {
    std::uint64_t& next = next_message_[channel % kChannels];
    const std::uint8_t how = script.u8();
    if (how < 0x80) return std::exchange(next, next + count);
    return how < 0xf8 ? (next + how - 0xa0) & kVarintMax : value(script);
  }
  // How long a message is, so that its parts fit together; seldom another length.
  static std::uint64_t total(ByteReader& script, std::uint64_t number) {
    return script.u8() < 0xf8 ? 1 + (3'000 + number * 977) % kLongest : value(script);
  }
  static void write_data(ByteWriter& out, std::uint64_t length) {
    out.zeros(static_cast<std::size_t>(std::min<std::uint64_t>(length, out.remaining())));
  }

  void write_part(ByteWriter& out, ByteReader& script, unsigned type, std::uint64_t channel) {
    const std::uint64_t number = this->number(script, channel);
    const std::uint64_t total = HostilePeer::total(script, number);
    const std::uint64_t offset = script.u16() % std::max<std::uint64_t>(total, 1);
    const std::uint64_t length = std::min<std::uint64_t>(value(script), total - offset);
    out.u8(static_cast<std::uint8_t>(type));
    for (const std::uint64_t field : {channel, number, total, offset, length}) out.varint(field);
    write_data(out, length);
  }

  void write_messages(ByteWriter& out, ByteReader& script) {
    const std::uint64_t channel = HostilePeer::channel(script, kOrdered, kUnordered);
    const std::uint64_t count = 1 + script.u8() % 64;
    const std::uint64_t first = number(script, channel, count);
    std::vector<std::byte> storage(out.remaining());
    ByteWriter messages(storage);
    for (std::uint64_t i = 0; i < count && messages.remaining() > 8; ++i) {
      const std::uint64_t length = std::min<std::uint64_t>(value(script), messages.remaining() - 8);
      messages.varint(length);
      write_data(messages, length);
    }
    out.u8(static_cast<std::uint8_t>(FrameType::kReliable) | kReliableLengthBit);
    for (const std::uint64_t field : {channel, first, std::uint64_t{messages.position()}}) out.varint(field);
    out.bytes(messages.written());
  }

  // Acknowledges what has arrived, all or some of it, or numbers from the script.
  void write_ack(ByteWriter& out, ByteReader& script) {
    const std::uint8_t how = script.u8();
    const std::uint64_t mask = (how & 3U) == 0 ? script.u64() : UINT64_MAX;
    const std::uint64_t lowest = (how & 3U) == 1 ? value(script) : 0;
    std::vector<AckRange> ranges;
    for (auto at = received_.rbegin(); at != received_.rend() && *at >= lowest; ++at) {
      if ((mask >> (*at % 64) & 1U) == 0) continue;
      if (!ranges.empty() && ranges.back().smallest == *at + 1) {
        ranges.back().smallest = *at;
      } else {
        ranges.push_back({*at, *at});
      }
    }
    if (how >= 0xf0) {
      const std::uint64_t largest = (received_.empty() ? 0 : received_.back()) + script.u8() % 4;
      ranges = {{largest - std::min(largest, value(script)), largest}};
    }
    if (ranges.empty()) return;
    const bool ecn = (how & 0x0cU) == 0;
    out.u8(ecn ? kAckEcnType : static_cast<std::uint8_t>(FrameType::kAck));
    for (const std::uint64_t field :
         {ranges[0].largest, (how & 0x10U) == 0 ? 0 : value(script), std::uint64_t{ranges.size() - 1},
          ranges[0].largest - ranges[0].smallest})
      out.varint(field);
    for (std::size_t i = 1; i < ranges.size(); ++i) {
      out.varint(ranges[i - 1].smallest - ranges[i].largest - 2);
      out.varint(ranges[i].largest - ranges[i].smallest);
    }
    for (int count = ecn ? 3 : 0; count > 0; --count) out.varint(value(script));
  }

  void write_path_response(ByteWriter& out, ByteReader& script) {
    const std::uint8_t which = script.u8();
    if (challenges_.empty() || which >= 0xf0)
      return static_cast<void>(hawser::write_path_response(out, script.array<8>()));
    const auto& [source, data] = challenges_[challenges_.size() - 1 - which % challenges_.size()];
    validated.insert(source);
    static_cast<void>(hawser::write_path_response(out, data));
  }

  void write_key_update(ByteWriter& out, ByteReader& script) {
    const std::uint8_t how = script.u8();
    if (how < 0x40) return out.bytes(answer_);
    if (how < 0xe0) {
      // A new one where the rules allow it, otherwise the last one again.
      const InjectedSecret secret = injected_secret(1 + how % 4);
      if (KeyUpdate::may_begin(holder_.keys, &key_update_))
        update_ = key_update_.begin(holder_.keys, random_, how < 0xa0 ? nullptr : &secret);
      return out.bytes(update_);
    }
    KeyUpdateFrame frame{};
    frame.epoch = holder_.keys.epoch + script.u8() % 4;
    frame.sequence = static_cast<std::uint32_t>(value(script));
    frame.share.fill(static_cast<std::byte>(script.u8()));
    if (how < 0xf0) return static_cast<void>(hawser::write_key_update(out, frame, how % 2 == 0));
    static_cast<void>(write_key_update_refused(out, {frame.sequence, static_cast<std::uint8_t>(how % 4)}));
  }

  void write_frame(ByteWriter& out, ByteReader& script) {
    const auto type = [](FrameType frame) { return static_cast<std::uint8_t>(frame); };
    switch (script.u8() % 24) {
      case 0:
        return static_cast<void>(write_ping(out, script.u16()));
      case 1: {
        const std::uint16_t sequence = script.u8() < 0xc0 ? ping_ : script.u16();
        const std::uint64_t time = value(script);
        return static_cast<void>(write_pong(out, sequence, time, Duration(value(script) & kVarintMax)));
      }
      case 2:
      case 3:
      case 4:
        return write_ack(out, script);
      case 5:
        out.u8(type(FrameType::kCredit));
        return out.varint(value(script));
      case 6:
        out.u8(type(FrameType::kChannelCredit));
        out.varint(channel(script, kOrdered, kUnordered));
        return out.varint(value(script));
      case 7: {
        const std::uint64_t to = channel(script, kUnreliable, kControlled);
        const std::uint64_t length = value(script);
        out.u8(type(FrameType::kMessage) | kMessageChannelBit | kMessageLengthBit |
               (length % 2 == 0 ? kMessageAcknowledgedBit : 0));
        out.varint(to);
        out.varint(length);
        return write_data(out, length);
      }
      case 8:
      case 9:
        return write_part(out, script, type(FrameType::kSequenced) | kSequencedPartBit | kSequencedLengthBit,
                          channel(script, kSequenced, kSequenced));
      case 10:
      case 11:
      case 12:
        return write_part(out, script, type(FrameType::kFragment) | kReliableLengthBit,
                          channel(script, kOrdered, kUnordered));
      case 13:
      case 14:
        return write_messages(out, script);
      case 15: {
        const std::uint64_t to = channel(script, kOrdered, kUnordered);
        const std::uint64_t expired = number(script, to);
        out.u8(type(FrameType::kExpired));
        for (const std::uint64_t field : {to, expired, total(script, expired)}) out.varint(field);
        return;
      }
      case 16:
        return write_path_response(out, script);
      case 17: {
        ConnectionId id;
        id.length = 8;
        id.bytes[0] = static_cast<std::byte>(script.u8());
        return static_cast<void>(write_new_id(out, script.u8() % 8, id, {}));
      }
      case 18:
        return static_cast<void>(write_retire_id(out, script.u8() % 8));
      case 19:
      case 20:
        return write_key_update(out, script);
      case 21:
        static_cast<void>(write_mtu_probe(out));
        return static_cast<void>(write_padding(out, static_cast<std::size_t>(value(script) % 1'000)));
      case 22:
        return static_cast<void>(
            write_disconnect(out, {static_cast<std::uint32_t>(value(script)), Duration(value(script)), {}}));
      default:
        return out.bytes(script.bytes(std::min<std::size_t>(script.u8(), script.remaining())));
    }
  }

  RandomSource& random_;
  KeyHolder holder_;
  KeyUpdate key_update_{false};
  std::array<PacketKey, 4> sending_;  // by the low bits of their epochs
  std::vector<ConnectionId> ids_;     // of the server
  std::vector<std::pair<std::size_t, PathData>> challenges_;
  std::vector<std::byte> answer_;
  std::array<std::byte, kKeyUpdateFrameSize> update_{};
  std::vector<std::uint64_t> received_;  // packet numbers, ascending
  std::array<std::uint64_t, kChannels> next_message_{};
  std::uint64_t next_number_ = 0;
  std::uint16_t ping_ = 0;
};

}  // namespace hawser::fuzz
