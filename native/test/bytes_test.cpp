#include "base/bytes.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

std::vector<std::byte> hex(std::initializer_list<unsigned> values) {
  std::vector<std::byte> result;
  for (const unsigned value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

std::vector<std::byte> copy(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

TEST_CASE("bytes: integers are little-endian") {
  std::array<std::byte, 15> storage{};
  ByteWriter writer(storage);
  writer.u8(0x01);
  writer.u16(0x0302);
  writer.u32(0x07060504U);
  writer.u64(0x0f0e0d0c0b0a0908U);
  CHECK(writer.ok());
  CHECK(writer.remaining() == 0);
  CHECK(copy(writer.written()) == hex({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));

  ByteReader reader(storage);
  CHECK(reader.u8() == 0x01);
  CHECK(reader.u16() == 0x0302);
  CHECK(reader.u32() == 0x07060504U);
  CHECK(reader.u64() == 0x0f0e0d0c0b0a0908U);
  CHECK(reader.finished());
}

TEST_CASE("bytes: varints are those of RFC 9000 appendix A.1") {
  const std::vector<std::pair<std::vector<std::byte>, std::uint64_t>> examples = {
      {hex({0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}), 151288809941952652U},
      {hex({0x9d, 0x7f, 0x3e, 0x7d}), 494878333U},
      {hex({0x7b, 0xbd}), 15293U},
      {hex({0x25}), 37U},
  };
  for (const auto& [encoded, value] : examples) {
    ByteReader reader(encoded);
    CHECK(reader.varint() == value);
    CHECK(reader.finished());
    std::array<std::byte, 8> storage{};
    ByteWriter writer(storage);
    writer.varint(value);
    CHECK(copy(writer.written()) == encoded);
  }
  // The same appendix: 37 in two bytes is valid too.
  const auto longer = hex({0x40, 0x25});
  ByteReader reader(longer);
  CHECK(reader.varint() == 37);
  CHECK(reader.finished());
}

TEST_CASE("bytes: varints change size where RFC 9000 section 16 says") {
  const std::vector<std::pair<std::uint64_t, std::size_t>> sizes = {
      {0, 1}, {63, 1}, {64, 2}, {16383, 2}, {16384, 4}, {(1U << 30U) - 1, 4}, {1U << 30U, 8}, {kVarintMax, 8},
  };
  for (const auto& example : sizes) {
    const auto [value, size] = example;
    CAPTURE(example.first);
    CHECK(varint_size(value) == size);
    std::array<std::byte, 8> storage{};
    ByteWriter writer(storage);
    writer.varint(value);
    CHECK(writer.position() == size);
    ByteReader reader(writer.written());
    CHECK(reader.varint() == value);
    CHECK(reader.finished());
  }
  std::array<std::byte, 8> storage{};
  ByteWriter writer(storage);
  writer.varint(kVarintMax + 1);
  CHECK_FALSE(writer.ok());
  CHECK(writer.position() == 0);
}

TEST_CASE("bytes: a read past the end fails for good and gives nothing") {
  const auto data = hex({1, 2, 3});
  ByteReader reader(data);
  CHECK(reader.u16() == 0x0201);
  CHECK(reader.u16() == 0);
  CHECK_FALSE(reader.ok());
  CHECK_FALSE(reader.finished());
  CHECK(reader.remaining() == 0);
  CHECK(reader.position() == 2);
  CHECK(reader.u8() == 0);
  CHECK(reader.varint() == 0);
  CHECK(reader.u64() == 0);
  CHECK(reader.bytes(1).empty());
  CHECK(reader.rest().empty());
  CHECK(reader.array<4>() == std::array<std::byte, 4>{});
  reader.skip(0);
  CHECK_FALSE(reader.ok());
}

TEST_CASE("bytes: a count near the top of size_t does not wrap around") {
  const auto data = hex({1, 2, 3});
  ByteReader reader(data);
  reader.skip(1);
  CHECK(reader.bytes(SIZE_MAX).empty());
  CHECK_FALSE(reader.ok());
  std::array<std::byte, 4> storage{};
  ByteWriter writer(storage);
  writer.u8(1);
  writer.zeros(SIZE_MAX);
  CHECK_FALSE(writer.ok());
}

TEST_CASE("bytes: a codec can fail a reader or a writer itself") {
  const auto data = hex({1, 2, 3});
  ByteReader reader(data);
  reader.u8();
  reader.fail();
  CHECK_FALSE(reader.ok());
  CHECK(reader.u8() == 0);
  std::array<std::byte, 4> storage{};
  ByteWriter writer(storage);
  writer.u8(1);
  writer.fail();
  CHECK(writer.written().empty());
  writer.u8(2);
  CHECK(storage[1] == std::byte{0});
}

TEST_CASE("bytes: a field that does not fit is not begun, and nothing follows it") {
  std::array<std::byte, 5> storage{};
  ByteWriter writer(storage);
  writer.u32(0x01010101U);
  writer.u16(0x0202);
  CHECK_FALSE(writer.ok());
  CHECK(writer.position() == 4);
  CHECK(writer.remaining() == 0);
  CHECK(writer.written().empty());
  writer.u8(3);
  CHECK(storage[4] == std::byte{0});
}

TEST_CASE("bytes: spans read are in place, arrays are copies, rest is what is left") {
  const auto data = hex({1, 2, 3, 4, 5, 6});
  ByteReader reader(data);
  const Bytes two = reader.bytes(2);
  CHECK(two.data() == data.data());
  CHECK(two.size() == 2);
  CHECK(reader.array<2>() == std::array{std::byte{3}, std::byte{4}});
  CHECK(reader.rest().data() == data.data() + 4);
  CHECK(reader.finished());
  CHECK(reader.rest().empty());
  CHECK(reader.finished());
}

TEST_CASE("bytes: all_zero and bytes_of") {
  CHECK(all_zero({}));
  std::array<std::byte, 9> data{};
  CHECK(all_zero(data));
  for (std::byte& value : data) {
    value = std::byte{0x80};
    CHECK_FALSE(all_zero(data));
    value = std::byte{0};
  }
  CHECK(copy(bytes_of("hi")) == hex({'h', 'i'}));
}

// One randomly chosen field: what a writer was told and a reader must find.
struct Field {
  enum class Kind : std::uint8_t { kU8, kU16, kU32, kU64, kVarint, kBytes, kZeros };
  Kind kind{};
  std::uint64_t value = 0;
  std::vector<std::byte> content;
};

Field random_field(RandomSource& random) {
  Field field;
  field.kind = static_cast<Field::Kind>(random.below(7));
  switch (field.kind) {
    case Field::Kind::kU8:
      field.value = random.below(1U << 8U);
      break;
    case Field::Kind::kU16:
      field.value = random.below(1U << 16U);
      break;
    case Field::Kind::kU32:
      field.value = random.u64() >> 32U;
      break;
    case Field::Kind::kU64:
      field.value = random.u64();
      break;
    case Field::Kind::kVarint:
      // All sizes, not almost always eight bytes.
      field.value = random.u64() >> (2 + random.below(62));
      break;
    case Field::Kind::kBytes:
      field.content.resize(random.below(20));
      random.fill(field.content);
      break;
    case Field::Kind::kZeros:
      field.content.resize(random.below(20));
      break;
  }
  return field;
}

void write(ByteWriter& writer, const Field& field) {
  switch (field.kind) {
    case Field::Kind::kU8:
      return writer.u8(static_cast<std::uint8_t>(field.value));
    case Field::Kind::kU16:
      return writer.u16(static_cast<std::uint16_t>(field.value));
    case Field::Kind::kU32:
      return writer.u32(static_cast<std::uint32_t>(field.value));
    case Field::Kind::kU64:
      return writer.u64(field.value);
    case Field::Kind::kVarint:
      return writer.varint(field.value);
    case Field::Kind::kBytes:
      return writer.bytes(field.content);
    case Field::Kind::kZeros:
      return writer.zeros(field.content.size());
  }
}

// Whether the reader gives back the field.
bool reads_back(ByteReader& reader, const Field& field) {
  switch (field.kind) {
    case Field::Kind::kU8:
      return reader.u8() == field.value;
    case Field::Kind::kU16:
      return reader.u16() == field.value;
    case Field::Kind::kU32:
      return reader.u32() == field.value;
    case Field::Kind::kU64:
      return reader.u64() == field.value;
    case Field::Kind::kVarint:
      return reader.varint() == field.value;
    case Field::Kind::kBytes:
    case Field::Kind::kZeros:
      return copy(reader.bytes(field.content.size())) == field.content;
  }
  return false;
}

TEST_CASE("bytes: any sequence of fields reads back, and fails when cut anywhere") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    std::vector<Field> fields(1 + random.below(12));
    for (Field& field : fields) field = random_field(random);

    std::vector<std::byte> storage(256);
    ByteWriter writer(storage);
    for (const Field& field : fields) write(writer, field);
    REQUIRE(writer.ok());
    const Bytes encoded = writer.written();

    ByteReader whole(encoded);
    for (const Field& field : fields) REQUIRE(reads_back(whole, field));
    REQUIRE(whole.finished());

    for (std::size_t length = 0; length < encoded.size(); ++length) {
      CAPTURE(length);
      // Exact allocations, so that the address sanitizer sees one byte too many.
      const std::vector<std::byte> cut(encoded.begin(),
                                       encoded.begin() + static_cast<std::ptrdiff_t>(length));
      ByteReader reader(cut);
      for (const Field& field : fields) static_cast<void>(reads_back(reader, field));
      REQUIRE_FALSE(reader.ok());
      REQUIRE(reader.position() <= length);

      std::vector<std::byte> small(length);
      ByteWriter short_writer(small);
      for (const Field& field : fields) write(short_writer, field);
      REQUIRE_FALSE(short_writer.ok());
      REQUIRE(short_writer.written().empty());
    }
  }
}

}  // namespace
}  // namespace hawser
