#include "engine/events.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>

namespace hawser {

EventQueue::EventQueue(MutableBytes slab, std::span<EventDescriptor> descriptors) { use(slab, descriptors); }

void EventQueue::use(MutableBytes slab, std::span<EventDescriptor> descriptors) {
  assert(slab.size() <= UINT32_MAX);
  slab_ = slab;
  descriptors_ = descriptors;
  used_ = count_ = 0;
  wanting_ = false;
  wanted_bytes_ = 0;
  if (!kept_.empty()) write_kept();
}

bool EventQueue::push(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second) {
  return kept_.empty() && write(kind, peer, argument, first, second);
}

void EventQueue::put(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second) {
  if (push(kind, peer, argument, first, second)) return;
  kept_.push_back(EventDescriptor{
      .kind_and_argument = static_cast<std::uint32_t>(kind) | argument << 8U,
      .slot = peer.slot,
      .generation = peer.generation,
      .offset = static_cast<std::uint32_t>(kept_bytes_.size()),
      .length = static_cast<std::uint32_t>(first.size() + second.size()),
      .reserved = 0,
  });
  kept_bytes_.insert(kept_bytes_.end(), first.begin(), first.end());
  kept_bytes_.insert(kept_bytes_.end(), second.begin(), second.end());
}

// As many as there is room for; with the last of them the memory goes back.
void EventQueue::write_kept() {
  auto next = kept_.begin();
  while (next != kept_.end() && write(next->kind(), Handle{next->slot, next->generation}, next->argument(),
                                      Bytes(kept_bytes_).subspan(next->offset, next->length), {})) {
    ++next;
  }
  if (next != kept_.end()) {
    const std::uint32_t written = next->offset;
    kept_.erase(kept_.begin(), next);
    kept_bytes_.erase(kept_bytes_.begin(), kept_bytes_.begin() + written);
    for (EventDescriptor& event : kept_) event.offset -= written;
    return;
  }
  std::vector<EventDescriptor>().swap(kept_);
  std::vector<std::byte>().swap(kept_bytes_);
}

bool EventQueue::write(EventKind kind, Handle peer, std::uint32_t argument, Bytes first, Bytes second) {
  assert(argument < (1U << 24U));
  // Eight bytes suit every field of a record, and a copy that starts so is the fastest.
  const std::size_t offset = (used_ + 7) & ~std::size_t{7};
  const std::size_t length = first.size() + second.size();
  if (count_ == descriptors_.size() || offset > slab_.size() || length > slab_.size() - offset) return false;
  const auto to = slab_.begin() + static_cast<std::ptrdiff_t>(offset);
  std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), to));
  descriptors_[count_++] = EventDescriptor{
      .kind_and_argument = static_cast<std::uint32_t>(kind) | argument << 8U,
      .slot = peer.slot,
      .generation = peer.generation,
      .offset = static_cast<std::uint32_t>(offset),
      .length = static_cast<std::uint32_t>(length),
      .reserved = 0,
  };
  used_ = offset + length;
  return true;
}

std::array<std::byte, ConnectRecordLayout::kUserData> encode(const ConnectRecord& record) {
  std::array<std::byte, ConnectRecordLayout::kUserData> bytes{};
  ByteWriter writer(bytes);
  writer.u64(record.client_id);
  writer.u64(record.create);
  writer.u64(record.expire);
  writer.zeros(2 * kAddressRecordSize);
  // Those of netcode may be longer.
  writer.u32(u32_milliseconds(record.timeout));
  writer.u32(record.flags);
  writer.u32(static_cast<std::uint32_t>(record.wire));
  writer.u32(record.client_index);
  writer.u32(record.max_clients);
  write_address_record(std::span(bytes).subspan<ConnectRecordLayout::kRemote, kAddressRecordSize>(),
                       record.remote);
  write_address_record(std::span(bytes).subspan<ConnectRecordLayout::kLocal, kAddressRecordSize>(),
                       record.local);
  return bytes;
}

std::array<std::byte, kDisconnectRecordSize> disconnect_record(std::uint32_t code,
                                                               Duration reconnect_spread) {
  std::array<std::byte, kDisconnectRecordSize> bytes{};
  ByteWriter writer(bytes);
  writer.u32(code);
  writer.u32(u32_milliseconds(reconnect_spread));
  return bytes;
}

void write_address_record(std::span<std::byte, kAddressRecordSize> out, const SocketAddress& address) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(address.family));
  writer.u8(0);
  writer.u16(address.port);
  writer.u32(address.scope_id);
  writer.bytes(address.ip);
}

SocketAddress read_address_record(std::span<const std::byte, kAddressRecordSize> record) {
  ByteReader reader(record);
  SocketAddress address;
  const auto family = static_cast<SocketAddress::Family>(reader.u8());
  if (family != SocketAddress::Family::kIpv4 && family != SocketAddress::Family::kIpv6) return address;
  reader.skip(1);
  address.family = family;
  address.port = reader.u16();
  address.scope_id = reader.u32();
  address.ip = reader.array<16>();
  return address;
}

}  // namespace hawser
