// Where replicas live. Made for object stores: whole objects appear at once or not at all, names
// are flat, writes can be conditional.
//
// What a caller may rely on, for every backend (testing/store_conformance.h holds them to it):
//
//   (1) A reader sees an object whole or not at all. An ObjectWriter that was not committed leaves
//       nothing that List(), Head() or ReadAt() can see.
//   (2) When Commit() returned success, the object survives a power loss of the store's host.
//   (3) When Commit() failed with a retryable error, the object may or may not be there. With a
//       condition, "already exists" on the retry may be the object's own first attempt: compare.
//   (4) A key that was written, read or listed after a success is there for the next call
//       (read-after-write; list-after-write).
//
// All calls block. All methods are thread-safe; one ObjectWriter belongs to one thread at a time.

#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/result.h"

namespace runnel::store {

// The name of an object below the store's root: segments joined by '/', none of them empty, "."
// or "..".
class ObjectKey {
 public:
  ObjectKey() = default;
  explicit ObjectKey(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;

 private:
  std::string text_;
};

// Whether every backend can hold an object of that name.
bool IsValidKey(const ObjectKey& key);

// Stands for the content of one version of an object. Opaque; compared only for equality.
class Etag {
 public:
  Etag() = default;
  explicit Etag(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  friend bool operator==(const Etag&, const Etag&) = default;

 private:
  std::string text_;
};

struct ObjectInfo {
  ObjectKey key;
  std::uint64_t size_bytes = 0;
  Etag etag;  // List() leaves it empty where it would cost a read of the object
  // The time given with Put, where the backend keeps it and this call returns it; else the time
  // of the upload.
  WallTime timestamp;
};

// What must hold of the stored object for a write to take effect.
class PutCondition {
 public:
  enum class Kind : std::uint8_t { kNone, kIfAbsent, kIfMatch };

  static PutCondition None() { return {Kind::kNone, {}}; }
  static PutCondition IfAbsent() { return {Kind::kIfAbsent, {}}; }
  static PutCondition IfMatch(Etag etag) { return {Kind::kIfMatch, std::move(etag)}; }

  Kind kind() const { return kind_; }
  const Etag& etag() const { return etag_; }  // meaningful for kIfMatch

 private:
  PutCondition(Kind kind, Etag etag) : kind_(kind), etag_(std::move(etag)) {}

  Kind kind_;
  Etag etag_;
};

struct PutOptions {
  PutCondition condition = PutCondition::None();
  std::optional<WallTime> timestamp = std::nullopt;  // kept with the object
};

// An object on its way in. Destroyed without a successful Commit(), it never was.
class ObjectWriter : public ByteSink {
 public:
  // Errors: kAlreadyExists (IfAbsent), kPreconditionFailed (IfMatch: other content, or gone),
  // kUnsupported (the store has no conditional writes). Call once.
  virtual Result<ObjectInfo> Commit() = 0;
};

struct ListPage {
  std::vector<ObjectInfo> objects;      // ascending by key
  std::optional<ObjectKey> next_after;  // pass as `start_after` for the next page; none: the last
};

struct Capabilities {
  // A store that can only find out by trying says true until its first conditional write, which
  // then fails with kUnsupported.
  bool conditional_writes = false;
  // Requests cost money, or go over a network: do not read back what was just written, do not
  // look without a reason.
  bool bills_requests = false;
  // List() returns the timestamp that was given with Put; if not, only Head() does.
  bool timestamps_in_list = false;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // "file", "s3", "memory": for logs and tables.
  virtual std::string_view kind() const = 0;
  // The root as a URL without secrets.
  virtual std::string location() const = 0;
  virtual Capabilities capabilities() const = 0;

  virtual Result<std::unique_ptr<ObjectWriter>> StartPut(const ObjectKey& key,
                                                         const PutOptions& options) = 0;

  // Fills the front of `out` with the object's bytes from `offset`, returns how much: less than
  // asked only at the object's end. kNotFound.
  virtual Result<std::size_t> ReadAt(const ObjectKey& key, std::uint64_t offset,
                                     MutableBytes out) = 0;

  virtual Result<ObjectInfo> Head(const ObjectKey& key) = 0;  // kNotFound

  // Objects whose key starts with `prefix` and is greater than `start_after`, at most `limit` (the
  // backend may return fewer; only a missing `next_after` means the end). A prefix under which
  // nothing lies is an empty page, not an error.
  virtual Result<ListPage> List(const std::string& prefix,
                                const std::optional<ObjectKey>& start_after, std::size_t limit) = 0;

  // Deletes what is there of `keys`; a key that is not there is a success. On an error some may
  // be gone.
  virtual Result<void> Delete(std::span<const ObjectKey> keys) = 0;

  // Removes what writers of ours that died have left directly under `prefix` (which ends with '/',
  // or is empty), last touched before `older_than`; how many. None of it is an object. A writer
  // that is alive after all, and loses its work to this, gets kUnavailable.
  virtual Result<std::size_t> SweepUnfinished(const std::string& prefix, WallTime older_than) {
    (void)prefix;
    (void)older_than;
    return 0;
  }
};

// The whole of a small object. kCorruption if it is larger than `size_max_bytes`.
Result<Bytes> ReadObject(ObjectStore& store, const ObjectKey& key, std::size_t size_max_bytes);

// Writes a small object in one go.
Result<ObjectInfo> PutObject(ObjectStore& store, const ObjectKey& key, ByteView body,
                             const PutOptions& options);

// Every object under `prefix`, page after page, ascending by key.
Result<std::vector<ObjectInfo>> ListAll(ObjectStore& store, const std::string& prefix);

// Whether the object is there and holds exactly `body`: how a writer tells its own first attempt
// from somebody else's object (3).
Result<bool> HasContent(ObjectStore& store, const ObjectKey& key, ByteView body);

}  // namespace runnel::store
