#pragma once

#include <cstdint>

#include "base/address.hpp"
#include "base/siphash.hpp"

namespace hawser {

// Where a client's datagrams go and where they come from; `local` without a port, none when the system
// chooses.
struct AddressPair {
  SocketAddress remote;
  SocketAddress local;

  [[nodiscard]] static AddressPair of(const SocketAddress& remote, const SocketAddress& local) {
    AddressPair pair{remote, local};
    pair.local.port = 0;
    return pair;
  }

  friend bool operator==(const AddressPair&, const AddressPair&) = default;
  friend std::uint64_t hash_value(const SipKey& key, const AddressPair& pair) {
    return hash_value(key, pair.remote) ^ (hash_value(key, pair.local) * 0x9e3779b97f4a7c15U);
  }
};

}  // namespace hawser
