#include "binding/secret_functions.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "binding/values.hpp"
#include "crypto/aead.hpp"
#include "crypto/base64.hpp"
#include "crypto/hash.hpp"
#include "crypto/random.hpp"
#include "crypto/secret.hpp"
#include "crypto/secret_arena.hpp"
#include "crypto/signature.hpp"

namespace hawser::binding {

namespace {

constexpr std::size_t kKeySize = 32;

// What an ArrayBuffer holds of the arena.
struct Slot {
  std::shared_ptr<SecretArena> arena;
  MutableBytes bytes;
};

std::optional<MutableBytes> read_mutable(const Napi::Value& value, const char* name) {
  if (!read_bytes(value, name)) return std::nullopt;
  auto array = value.As<Napi::Uint8Array>();
  return std::as_writable_bytes(std::span<std::uint8_t>(array.Data(), array.ElementLength()));
}

std::optional<Bytes> read_sized(const Napi::Value& value, const char* name, std::size_t size) {
  const auto bytes = read_bytes(value, name);
  if (bytes && bytes->size() == size) return bytes;
  throw_type_error(value.Env(), std::string(name) + " must have " + std::to_string(size) + " bytes");
  return std::nullopt;
}

std::optional<MutableBytes> read_mutable_sized(const Napi::Value& value, const char* name, std::size_t size) {
  const auto bytes = read_mutable(value, name);
  if (bytes && bytes->size() == size) return bytes;
  throw_type_error(value.Env(), std::string(name) + " must have " + std::to_string(size) + " bytes");
  return std::nullopt;
}

// allocate(size, mustLock): an ArrayBuffer of zeros, or null. Its slot is free again once nothing in
// JavaScript sees it.
Napi::Value allocate(const Napi::CallbackInfo& info, const std::shared_ptr<SecretArena>& arena) {
  const Napi::Env env = info.Env();
  const auto size = read_integer(info[0], "size", 1, SecretArena::kMaxSize);
  if (!size) return env.Undefined();
  const MutableBytes bytes = arena->take(*size, info[1].ToBoolean());
  if (bytes.empty()) return env.Null();
  auto slot = std::make_unique<Slot>(Slot{arena, bytes});
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, bytes.data(), bytes.size(),
      [](Napi::Env /*env*/, void* /*data*/, Slot* held) {
        held->arena->give_back(held->bytes);
        delete held;
      },
      slot.get());
  if (buffer.IsEmpty()) {
    arena->give_back(bytes);
    return env.Undefined();
  }
  static_cast<void>(slot.release());
  return buffer;
}

Napi::Value memory(const Napi::CallbackInfo& info, const std::shared_ptr<SecretArena>& arena) {
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("lockedBytes", static_cast<double>(arena->locked_bytes()));
  object.Set("unlockedBytes", static_cast<double>(arena->unlocked_bytes()));
  object.Set("usedBytes", static_cast<double>(arena->used_bytes()));
  return object;
}

void wipe_bytes(const Napi::CallbackInfo& info) {
  if (const auto bytes = read_mutable(info[0], "bytes")) wipe(*bytes);
}

Napi::Value equal(const Napi::CallbackInfo& info) {
  const auto a = read_bytes(info[0], "a");
  const auto b = read_bytes(info[1], "b");
  if (!a || !b) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), constant_time_equal(*a, *b));
}

void fill_random(const Napi::CallbackInfo& info) {
  if (const auto out = read_mutable(info[0], "out")) fill_from_system(*out);
}

// base64Size(text): how many bytes it stands for, or -1.
Napi::Value base64_size(const Napi::CallbackInfo& info) {
  const auto text = read_bytes(info[0], "text");
  if (!text) return info.Env().Undefined();
  const auto size = base64_decoded_size(*text);
  return Napi::Number::New(info.Env(), size ? static_cast<double>(*size) : -1.0);
}

// decodeBase64(out, text): whether it was base64. Two views of one memory are refused.
Napi::Value decode(const Napi::CallbackInfo& info) {
  const auto text = read_bytes(info[1], "text");
  if (!text) return info.Env().Undefined();
  const auto size = base64_decoded_size(*text);
  const auto out = read_mutable_sized(info[0], "out", size.value_or(0));
  if (!out) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), size && decode_base64(*out, *text));
}

// encodeBase64(out, bytes)
void encode(const Napi::CallbackInfo& info) {
  const auto bytes = read_bytes(info[1], "bytes");
  if (!bytes) return;
  const auto out = read_mutable_sized(info[0], "out", base64_encoded_size(bytes->size()));
  if (out) encode_base64(*out, *bytes);
}

// deriveKey(out, key, label, salt): 32 bytes, BLAKE2b keyed with `key` of the label, a zero byte and the
// salt.
void derive_key(const Napi::CallbackInfo& info) {
  const auto out = read_mutable_sized(info[0], "out", kKeySize);
  const auto key = read_sized(info[1], "key", kKeySize);
  const auto label = read_bytes(info[2], "label");
  const auto salt = read_bytes(info[3], "salt");
  if (!out || !key || !label || !salt) return;
  const std::array<std::byte, 1> zero{};
  blake2b_256(out->first<kKeySize>(), *key, {*label, zero, *salt});
}

// seal(key, associatedData, plaintext): a Uint8Array of a random nonce of 24 bytes, the ciphertext and the
// tag.
Napi::Value seal_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto key = read_sized(info[0], "key", kKeySize);
  const auto associated = read_bytes(info[1], "associatedData");
  const auto plaintext = read_bytes(info[2], "plaintext");
  if (!key || !associated || !plaintext) return env.Undefined();
  Napi::Uint8Array result = Napi::Uint8Array::New(env, kNonceSize + plaintext->size() + kTagSize);
  if (env.IsExceptionPending()) return env.Undefined();
  const auto out = std::as_writable_bytes(std::span<std::uint8_t>(result.Data(), result.ElementLength()));
  fill_from_system(out.first<kNonceSize>());
  seal(out.subspan(kNonceSize), Key(key->first<kKeySize>()), Bytes(out).first<kNonceSize>(), *associated,
       *plaintext);
  return result;
}

// open(out, key, associatedData, sealed): whether it is what seal() made. `out` is as long as the plaintext,
// and zeros when not.
Napi::Value open_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto key = read_sized(info[1], "key", kKeySize);
  const auto associated = read_bytes(info[2], "associatedData");
  const auto sealed = read_bytes(info[3], "sealed");
  if (!key || !associated || !sealed) return env.Undefined();
  if (sealed->size() < kNonceSize + kTagSize) return Napi::Boolean::New(env, false);
  const auto out = read_mutable_sized(info[0], "out", sealed->size() - kNonceSize - kTagSize);
  if (!out) return env.Undefined();
  return Napi::Boolean::New(env, open(*out, Key(key->first<kKeySize>()), sealed->first<kNonceSize>(),
                                      *associated, sealed->subspan(kNonceSize)));
}

// signatureKey(out, seed)
void make_signature_key(const Napi::CallbackInfo& info) {
  const auto out = read_mutable_sized(info[0], "out", kSignatureKeySize);
  const auto seed = read_sized(info[1], "seed", kSignatureSeedSize);
  if (out && seed) signature_key(out->first<kSignatureKeySize>(), seed->first<kSignatureSeedSize>());
}

// sign(key, message): a Uint8Array.
Napi::Value sign_message(const Napi::CallbackInfo& info) {
  const auto key = read_sized(info[0], "key", kSignatureKeySize);
  const auto message = read_bytes(info[1], "message");
  if (!key || !message) return info.Env().Undefined();
  return bytes_value(info.Env(), sign(key->first<kSignatureKeySize>(), *message));
}

// verify(publicKey, message, signature)
Napi::Value verify_message(const Napi::CallbackInfo& info) {
  const auto key = read_bytes(info[0], "publicKey");
  const auto message = read_bytes(info[1], "message");
  const auto signature = read_bytes(info[2], "signature");
  if (!key || !message || !signature) return info.Env().Undefined();
  const bool good =
      key->size() == kSignaturePublicKeySize && signature->size() == kSignatureSize &&
      verify(key->first<kSignaturePublicKeySize>(), *message, signature->first<kSignatureSize>());
  return Napi::Boolean::New(info.Env(), good);
}

}  // namespace

Napi::Object secret_functions(Napi::Env env) {
  auto arena = std::make_shared<SecretArena>();
  // Buffers that JavaScript still holds keep the arena, and their content would outlive what may read it.
  env.AddCleanupHook([arena] { arena->wipe_all(); });

  Napi::Object object = Napi::Object::New(env);
  const auto add = [&](const char* name, auto function) {
    object.Set(name, Napi::Function::New(env, function, name));
  };
  add("allocate", [arena](const Napi::CallbackInfo& info) { return allocate(info, arena); });
  add("memory", [arena](const Napi::CallbackInfo& info) { return memory(info, arena); });
  add("wipe", wipe_bytes);
  add("equal", equal);
  add("fillRandom", fill_random);
  add("base64Size", base64_size);
  add("decodeBase64", decode);
  add("encodeBase64", encode);
  add("deriveKey", derive_key);
  add("seal", seal_bytes);
  add("open", open_bytes);
  add("signatureKey", make_signature_key);
  add("sign", sign_message);
  add("verify", verify_message);
  return object;
}

}  // namespace hawser::binding
