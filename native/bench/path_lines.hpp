// The commands of the programs of the path rows: lines on the standard input.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>

namespace hawser::bench {

class CommandLines {
 public:
  // Reads what is there and calls on_line(const std::string&) for each line that is complete. Returns false
  // at the end of the input.
  template <class F>
  bool read_available(F&& on_line) {
    std::array<char, 4096> text{};
    const ssize_t got = read(STDIN_FILENO, text.data(), text.size());
    if (got <= 0) return got < 0 && errno == EINTR;
    input_.append(text.data(), static_cast<std::size_t>(got));
    for (std::size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      const std::string line = input_.substr(0, end);
      input_.erase(0, end + 1);
      on_line(line);
    }
    return true;
  }

 private:
  std::string input_;
};

}  // namespace hawser::bench
