#include "crypto/random.hpp"

#include <sodium.h>

#include <algorithm>

#include "crypto/secret.hpp"

namespace hawser {

void fill_from_system(MutableBytes out) { randombytes_buf(out.data(), out.size()); }

SystemRandom::~SystemRandom() { wipe(buffer_); }

void SystemRandom::fill(MutableBytes out) {
  if (out.size() > available_) {
    if (out.size() > buffer_.size()) {
      fill_from_system(out);
      return;
    }
    randombytes_buf(buffer_.data(), buffer_.size());
    available_ = buffer_.size();
  }
  // From the end, so that what is left is always the buffer's beginning.
  available_ -= out.size();
  const MutableBytes taken = MutableBytes(buffer_).subspan(available_, out.size());
  std::copy(taken.begin(), taken.end(), out.begin());
  wipe(taken);
}

}  // namespace hawser
