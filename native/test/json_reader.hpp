// Just enough of JSON (RFC 8259) for the files of test/vectors: a mistake in them fails the test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hawser::test {

class Json {
 public:
  // The whole text is one value. Strings have no escapes but \" and \\.
  [[nodiscard]] static Json parse(std::string_view text);
  // `name` is a file of test/vectors.
  [[nodiscard]] static Json read_vectors(const std::string& name);

  [[nodiscard]] bool has(std::string_view name) const;
  // The member of that name; it must be there.
  [[nodiscard]] const Json& operator[](std::string_view name) const;
  [[nodiscard]] const std::vector<Json>& elements() const { return elements_; }

  // What a string holds; a number or a literal as it is written.
  [[nodiscard]] const std::string& text() const { return scalar_; }
  // A number, or a string that holds one: decimal, or hexadecimal after 0x.
  [[nodiscard]] std::uint64_t number() const;

 private:
  friend class JsonParser;

  std::string scalar_;
  std::vector<std::string> names_;  // of an object's elements
  std::vector<Json> elements_;
};

}  // namespace hawser::test
