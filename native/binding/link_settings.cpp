#include "binding/link_settings.hpp"

#include <cmath>

namespace hawser::binding {

namespace {

double number(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
}

}  // namespace

LinkSettings read_link_settings(const Napi::Object& object) {
  const auto milliseconds = [&](const char* name) {
    // 1.001 * 1000 is less than 1001.
    return Duration(static_cast<Duration::rep>(std::round(number(object, name) * 1000)));
  };
  const auto count = [&](const char* name) { return static_cast<std::uint64_t>(number(object, name)); };
  LinkSettings settings;
  settings.loss_rate = number(object, "lossRate");
  settings.duplicate_rate = number(object, "duplicateRate");
  settings.reorder_rate = number(object, "reorderRate");
  settings.delay = milliseconds("delayMs");
  settings.jitter = milliseconds("jitterMs");
  settings.jitter_reorders = object.Get("jitterReorders").ToBoolean().Value();
  settings.least_hold_back = milliseconds("leastHoldBackMs");
  settings.most_hold_back = milliseconds("mostHoldBackMs");
  settings.bytes_per_second = count("bytesPerSecond");
  settings.queue_bytes = count("queueBytes");
  settings.ecn_mark_bytes = count("ecnMarkBytes");
  settings.mtu_bytes = static_cast<std::size_t>(count("mtuBytes"));
  settings.shared_bottleneck = object.Get("sharedBottleneck").ToBoolean().Value();
  settings.up = object.Get("up").ToBoolean().Value();
  return settings;
}

}  // namespace hawser::binding
