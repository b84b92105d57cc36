#include "wire/address_codec.hpp"

#include <algorithm>
#include <cassert>

namespace hawser {

bool AddressList::add(const SocketAddress& address) {
  if (count == addresses.size()) return false;
  addresses[count++] = address;
  return true;
}

bool operator==(const AddressList& a, const AddressList& b) { return std::ranges::equal(a.view(), b.view()); }

bool is_encodable(const SocketAddress& address) {
  return address.family != SocketAddress::Family::kNone && address.port != 0 && !address.is_unspecified() &&
         address.normalised().family == address.family;
}

std::size_t encoded_address_size(const SocketAddress& address) {
  return address.family == SocketAddress::Family::kIpv4 ? kIpv4AddressSize : kIpv6AddressSize;
}

void encode_address(ByteWriter& writer, const SocketAddress& address) {
  assert(is_encodable(address));
  writer.u8(static_cast<std::uint8_t>(address.family));
  writer.bytes(Bytes(address.ip).first(address.family == SocketAddress::Family::kIpv4 ? 4 : 16));
  writer.u16(address.port);
}

SocketAddress decode_address(ByteReader& reader) {
  SocketAddress address;
  address.family = static_cast<SocketAddress::Family>(reader.u8());
  std::size_t ip_size = 0;
  switch (address.family) {
    case SocketAddress::Family::kIpv4:
      ip_size = 4;
      break;
    case SocketAddress::Family::kIpv6:
      ip_size = 16;
      break;
    default:
      reader.fail();
      return {};
  }
  std::ranges::copy(reader.bytes(ip_size), address.ip.begin());
  address.port = reader.u16();
  if (!reader.ok() || !is_encodable(address)) {
    reader.fail();
    return {};
  }
  return address;
}

}  // namespace hawser
