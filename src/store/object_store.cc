#include "store/object_store.h"

#include <algorithm>
#include <limits>

namespace runnel::store {
namespace {

constexpr std::size_t kSegmentSizeMax = 255;
constexpr std::size_t kKeySizeMax = 1024;  // S3's limit
constexpr std::size_t kListPageObjects = 10'000;
constexpr std::size_t kCompareBytes = std::size_t{256} * 1024;

bool IsValidSegment(std::string_view segment) {
  return !segment.empty() && segment != "." && segment != ".." &&
         segment.size() <= kSegmentSizeMax && segment.find('\0') == std::string_view::npos;
}

}  // namespace

bool IsValidKey(const ObjectKey& key) {
  std::string_view rest = key.text();
  if (rest.size() > kKeySizeMax) return false;
  while (true) {
    const std::size_t slash = rest.find('/');
    if (!IsValidSegment(rest.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    rest.remove_prefix(slash + 1);
  }
}

Result<Bytes> ReadObject(ObjectStore& store, const ObjectKey& key, std::size_t size_max_bytes) {
  // One more than allowed tells a larger object without asking for its size first.
  Bytes body(std::min<std::size_t>(size_max_bytes, kCompareBytes) + 1);
  std::size_t size = 0;
  while (true) {
    RUNNEL_TRY(const std::size_t count, store.ReadAt(key, size, MutableBytes(body).subspan(size)));
    size += count;
    if (size < body.size()) break;
    if (size > size_max_bytes) {
      return Fail(Errc::kCorruption,
                  key.text() + ": larger than " + std::to_string(size_max_bytes) + " bytes");
    }
    body.resize(std::min(size_max_bytes, 4 * size) + 1);
  }
  body.resize(size);
  return body;
}

Result<ObjectInfo> PutObject(ObjectStore& store, const ObjectKey& key, ByteView body,
                             const PutOptions& options) {
  RUNNEL_TRY(auto writer, store.StartPut(key, options));
  RUNNEL_TRY_VOID(writer->Append(body));
  return writer->Commit();
}

Result<std::vector<ObjectInfo>> ListAll(ObjectStore& store, const std::string& prefix) {
  std::vector<ObjectInfo> objects;
  std::optional<ObjectKey> start_after;
  do {
    RUNNEL_TRY(ListPage page, store.List(prefix, start_after, kListPageObjects));
    std::ranges::move(page.objects, std::back_inserter(objects));
    start_after = std::move(page.next_after);
  } while (start_after);
  return objects;
}

Result<bool> HasContent(ObjectStore& store, const ObjectKey& key, ByteView body) {
  Bytes piece(std::min(body.size(), kCompareBytes) + 1);
  std::size_t offset = 0;
  while (true) {
    auto count = store.ReadAt(key, offset, piece);
    if (!count) {
      if (count.error().code() == Errc::kNotFound) return false;
      return Fail(std::move(count).error());
    }
    const ByteView read = ByteView(piece).first(*count);
    if (read.size() > body.size() - offset) return false;
    if (!std::ranges::equal(read, body.subspan(offset, read.size()))) return false;
    offset += read.size();
    if (read.size() < piece.size()) return offset == body.size();
  }
}

}  // namespace runnel::store
