// What the endpoints of one Node.js environment (the main thread or a worker) share, so that the memory of a
// connection follows its use.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "base/random.hpp"
#include "base/shared_memory.hpp"
#include "binding/event_buffers.hpp"
#include "crypto/random.hpp"
#include "engine/packet_buffers.hpp"
#include "io/socket_memory.hpp"
#include "io/transmit_slab.hpp"
#include "wire/session_packet.hpp"

namespace hawser::binding {

struct Environment {
  // That of a module which has been initialised there.
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // Records of the transmit slabs of clients on the event loop.
  SharedMemory transmit_records{TransmitSlab::kRecordBytes};
  // Of endpoints on the event loop. What a client holds of the packet buffers is bounded by its own output.
  std::shared_ptr<ExposedStorages> event_storages = std::make_shared<ExposedStorages>();
  std::shared_ptr<PacketBuffers> packet_buffers =
      std::make_shared<PacketBuffers>(kMaxReceivedDatagram, UINT32_MAX);
  std::shared_ptr<SocketMemoryPool> socket_memory = std::make_shared<SocketMemoryPool>();
  // It holds random bytes in reserve.
  std::shared_ptr<RandomSource> random = std::make_shared<SystemRandom>();
};

}  // namespace hawser::binding
