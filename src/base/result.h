// Errors are values. A function that can fail because of the outside world returns Result<T>.
//
// An Error has a code to act on and a message for a person. The message grows on the way up: each
// layer that knows something the lower one did not (a path, a txid, a cure) puts it in front with
// Context(). Secrets and page bytes never enter a message.

#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace runnel {

enum class Errc : std::uint8_t {
  kInvalidArgument,     // the caller, or the configuration, asked for something that cannot be
  kNotFound,            // a file, object, page or txid that is not there
  kAlreadyExists,       // create-if-absent met something
  kPreconditionFailed,  // a conditional write lost against another writer
  kFenced,              // another writer owns the replica path now; stop writing
  kCorruption,          // bytes that cannot be what they claim to be
  kBusy,                // a lock is held by somebody else for now
  kUnavailable,         // the other side did not answer, or told us to come back
  kTimedOut,
  kCancelled,  // we were asked to stop
  kNoSpace,    // ENOSPC, EDQUOT
  kPermissionDenied,
  kIo,           // any other failure of a device
  kUnsupported,  // valid, but not something this build can do
  kInternal,
};

// A lower-case word for logs and JSON, e.g. "not_found".
std::string_view ErrcName(Errc code);

class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}

  // The Errc that fits `errno_value`; the message is "<what>: <strerror>".
  static Error FromErrno(int errno_value, std::string_view what);

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }

  // "<what>: <message so far>", same code.
  Error Context(std::string_view what) const&;
  Error Context(std::string_view what) &&;

  // The same call may succeed later with nothing changed on our side.
  bool retryable() const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  Errc code_;
  std::string message_;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// The failing end of a Result: `return Fail(Errc::kNotFound, "no such object: " + key);`
inline std::unexpected<Error> Fail(Errc code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}
inline std::unexpected<Error> Fail(Error error) { return std::unexpected(std::move(error)); }

}  // namespace runnel

#define RUNNEL_CONCAT_INNER_(a, b) a##b
#define RUNNEL_CONCAT_(a, b) RUNNEL_CONCAT_INNER_(a, b)

// RUNNEL_TRY(auto file, fs.Open(path)): declares `file`, or returns the error from this function.
#define RUNNEL_TRY(declaration, ...) \
  RUNNEL_TRY_INNER_(RUNNEL_CONCAT_(runnel_result_, __LINE__), declaration, __VA_ARGS__)
#define RUNNEL_TRY_INNER_(result, declaration, ...)        \
  auto result = (__VA_ARGS__);                             \
  if (!result) [[unlikely]]                                \
    return ::std::unexpected(::std::move(result).error()); \
  declaration = *::std::move(result)

// RUNNEL_TRY_VOID(file->Sync()): returns the error from this function, if there is one.
#define RUNNEL_TRY_VOID(...)                                             \
  do {                                                                   \
    if (auto runnel_result = (__VA_ARGS__); !runnel_result) [[unlikely]] \
      return ::std::unexpected(::std::move(runnel_result).error());      \
  } while (false)
