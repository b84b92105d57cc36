// Settings of a link as text, by the names that SimulatedNetwork of hawser/testing uses.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.hpp"
#include "io/link_model.hpp"

namespace hawser::bench {

// Splits `name=value`; nullopt without a name or a value.
inline std::optional<std::pair<std::string_view, std::string_view>> split_setting(std::string_view text) {
  const std::size_t sign = text.find('=');
  if (sign == std::string_view::npos || sign == 0 || sign + 1 == text.size()) return std::nullopt;
  return std::pair(text.substr(0, sign), text.substr(sign + 1));
}

// Returns a number from 0 to `most`; nullopt if the text is not one.
inline std::optional<double> number_up_to(std::string_view text, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // The comparisons also refuse NaN.
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0 && value <= most))
    return std::nullopt;
  return value;
}

struct NumberSetting {
  std::string_view name;
  double most;
  void (*apply)(LinkSettings& settings, double value);
};

inline Duration milliseconds_of(double value) { return Duration(static_cast<Duration::rep>(value * 1000)); }

inline constexpr double kMaxRate = 1;
inline constexpr double kMaxMilliseconds = 60'000;
inline constexpr double kMaxBytes = 1ULL << 40U;

inline constexpr std::array<NumberSetting, 10> kNumberSettings{{
    {"lossRate", kMaxRate, [](LinkSettings& settings, double value) { settings.loss_rate = value; }},
    {"duplicateRate", kMaxRate,
     [](LinkSettings& settings, double value) { settings.duplicate_rate = value; }},
    {"reorderRate", kMaxRate, [](LinkSettings& settings, double value) { settings.reorder_rate = value; }},
    {"delayMs", kMaxMilliseconds,
     [](LinkSettings& settings, double value) { settings.delay = milliseconds_of(value); }},
    {"jitterMs", kMaxMilliseconds,
     [](LinkSettings& settings, double value) { settings.jitter = milliseconds_of(value); }},
    {"leastHoldBackMs", kMaxMilliseconds,
     [](LinkSettings& settings, double value) { settings.least_hold_back = milliseconds_of(value); }},
    {"mostHoldBackMs", kMaxMilliseconds,
     [](LinkSettings& settings, double value) { settings.most_hold_back = milliseconds_of(value); }},
    {"bytesPerSecond", kMaxBytes,
     [](LinkSettings& settings, double value) {
       settings.bytes_per_second = static_cast<std::uint64_t>(value);
     }},
    {"queueBytes", kMaxBytes,
     [](LinkSettings& settings, double value) { settings.queue_bytes = static_cast<std::uint64_t>(value); }},
    {"mtuBytes", kMaxBytes,
     [](LinkSettings& settings, double value) { settings.mtu_bytes = static_cast<std::size_t>(value); }},
}};

// Changes one setting. Returns false if the name is unknown or the value is not allowed.
inline bool apply_setting(LinkSettings& settings, std::string_view name, std::string_view value) {
  if (name == "jitterReorders") {
    if (value != "true" && value != "false") return false;
    settings.jitter_reorders = value == "true";
    return true;
  }
  for (const NumberSetting& setting : kNumberSettings) {
    if (setting.name != name) continue;
    const auto number = number_up_to(value, setting.most);
    if (!number) return false;
    setting.apply(settings, *number);
    return true;
  }
  return false;
}

}  // namespace hawser::bench
