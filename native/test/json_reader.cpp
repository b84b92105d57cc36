#include "json_reader.hpp"

#include <doctest/doctest.h>

#include <cctype>
#include <cstddef>
#include <fstream>
#include <iterator>

namespace hawser::test {

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : rest_(text) {}

  Json whole() {
    Json result = value();
    skip_space();
    REQUIRE(rest_.empty());
    return result;
  }

 private:
  Json value() {
    skip_space();
    REQUIRE_FALSE(rest_.empty());
    Json result;
    if (accept('{')) {
      members(result, '}', true);
    } else if (accept('[')) {
      members(result, ']', false);
    } else if (rest_.front() == '"') {
      result.scalar_ = string();
    } else {
      while (!rest_.empty() && (std::isalnum(static_cast<unsigned char>(rest_.front())) != 0 ||
                                rest_.front() == '-' || rest_.front() == '+' || rest_.front() == '.')) {
        result.scalar_ += take();
      }
      REQUIRE_FALSE(result.scalar_.empty());
    }
    return result;
  }

  void members(Json& out, char end, bool named) {
    if (accept(end)) return;
    do {
      if (named) {
        skip_space();
        out.names_.push_back(string());
        expect(':');
      }
      out.elements_.push_back(value());
    } while (accept(','));
    expect(end);
  }

  std::string string() {
    expect('"');
    std::string result;
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\') {
        take();
        REQUIRE_FALSE(rest_.empty());
        REQUIRE((rest_.front() == '"' || rest_.front() == '\\'));
      }
      result += take();
    }
    expect('"');
    return result;
  }

  void skip_space() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front())) != 0) take();
  }
  char take() {
    const char first = rest_.front();
    rest_.remove_prefix(1);
    return first;
  }
  bool accept(char wanted) {
    skip_space();
    if (rest_.empty() || rest_.front() != wanted) return false;
    take();
    return true;
  }
  void expect(char wanted) { REQUIRE(accept(wanted)); }

  std::string_view rest_;
};

Json Json::parse(std::string_view text) { return JsonParser(text).whole(); }

Json Json::read_vectors(const std::string& name) {
  const std::string path = std::string(HAWSER_TEST_VECTORS) + "/" + name;
  CAPTURE(path);
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.is_open());
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return parse(text);
}

bool Json::has(std::string_view name) const {
  for (const std::string& other : names_) {
    if (other == name) return true;
  }
  return false;
}

const Json& Json::operator[](std::string_view name) const {
  std::size_t index = 0;
  while (index < names_.size() && names_[index] != name) ++index;
  CAPTURE(name);
  REQUIRE(index < names_.size());
  return elements_[index];
}

std::uint64_t Json::number() const {
  std::size_t used = 0;
  const std::uint64_t value = std::stoull(scalar_, &used, scalar_.starts_with("0x") ? 16 : 10);
  REQUIRE(used == scalar_.size());
  return value;
}

}  // namespace hawser::test
