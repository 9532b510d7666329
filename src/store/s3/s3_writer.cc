#include "store/s3/s3_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/s3/xml.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kMarkHeader = "x-amz-meta-runnel-upload";
// A store allows 10,000 parts. With parts that double every so many, 8 MiB become 500 GB.
constexpr unsigned kPartsOfOneSize = 2000;
// The store may copy all of the object meanwhile, and says nothing.
constexpr std::chrono::seconds kCompletionPatience{300};

}  // namespace

S3Store::Writer::Writer(S3Store& store, ObjectKey key, PutOptions options)
    : store_(store),
      key_(std::move(key)),
      full_key_(store.FullKey(key_)),
      options_(std::move(options)) {}

S3Store::Writer::~Writer() {
  uploader_.reset();
  if (!upload_id_.empty()) Abort();
}

RetryAttempts S3Store::Writer::Attempts() const {
  return {store_.part_policy_, store_.environment_.clock, store_.environment_.random,
          store_.stop_requested_};
}

std::size_t S3Store::Writer::PartSize() const {
  const unsigned doublings =
      store_.settings().part_sizes == PartSizes::kGrowing ? parts_ / kPartsOfOneSize : 0;
  return static_cast<std::size_t>(store_.settings().part_size_bytes) << doublings;
}

Result<void> S3Store::Writer::Append(ByteView bytes) {
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    // Only now: what fits in one part exactly is no upload in parts.
    if (part_.size() == PartSize()) RUNNEL_TRY_VOID(SendPart());
    const std::size_t count = std::min(bytes.size(), PartSize() - part_.size());
    part_.insert(part_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
  return {};
}

Result<void> S3Store::Writer::SendPart() {
  if (upload_id_.empty()) RUNNEL_TRY_VOID(StartUpload());
  RUNNEL_TRY(part_, uploader_->Add(std::move(part_)));
  ++parts_;
  return {};
}

Result<void> S3Store::Writer::StartUpload() {
  Random& random = store_.environment_.random;
  mark_ = fmt::format("{:016x}{:016x}", random.NextU64(), random.NextU64());
  Call call{.name = "CreateMultipartUpload",
            .method = http::Method::kPost,
            .key = full_key_,
            .query = {{"uploads", ""}},
            .headers = store_.ObjectHeaders(*options_.timestamp)};
  call.headers.push_back({.name = std::string(kMarkHeader), .value = mark_});
  RUNNEL_TRY(const http::Response response, Retry(Attempts(), [&]() -> Result<http::Response> {
               RUNNEL_TRY(http::Response answer, store_.client_.Send(call));
               if (answer.status != 200) return Fail(store_.client_.Failure(call, answer));
               return answer;
             }));
  auto id = ParseUploadId(response.body);
  if (!id) return Fail(Errc::kCorruption, full_key_ + ": an answer without an upload id");
  upload_id_ = *std::move(id);
  uploader_ = std::make_unique<PartUploader>(
      store_.settings().parts_in_flight,
      [this](unsigned number, ByteView body) { return UploadPart(number, body); });
  return {};
}

Result<std::string> S3Store::Writer::UploadPart(unsigned number, ByteView body) {
  const Call call{.name = "UploadPart",
                  .method = http::Method::kPut,
                  .key = full_key_,
                  .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload_id_}},
                  .headers = store_.CustomerKeyHeaders(),
                  .body = body};
  return Retry(Attempts(), [&]() -> Result<std::string> {
    RUNNEL_TRY(const http::Response response, store_.client_.Send(call));
    if (response.status != 200) return Fail(store_.client_.Failure(call, response));
    const std::string* const etag = http::FindHeader(response.headers, "etag");
    if (etag == nullptr) return Fail(Errc::kCorruption, full_key_ + ": a part without an etag");
    return Unquoted(*etag);
  });
}

Result<ObjectInfo> S3Store::Writer::Commit() {
  if (upload_id_.empty()) return store_.PutWhole(key_, options_, part_);
  RUNNEL_TRY_VOID(SendPart());
  return Complete();
}

Result<ObjectInfo> S3Store::Writer::Complete() {
  RUNNEL_TRY(const std::vector<std::string> etags, uploader_->Finish());
  const std::string body = MakeComplete(etags);
  bool in_doubt = false;
  RUNNEL_TRY(ObjectInfo info, Retry(Attempts(), [&]() -> Result<ObjectInfo> {
               if (options_.condition.kind() == PutCondition::Kind::kIfAbsent && !in_doubt) {
                 RUNNEL_TRY_VOID(CheckAbsent());
               }
               auto completed = CompleteOnce(body);
               if (completed) return completed;
               if (in_doubt) {
                 // The try before may have done it, without our hearing of it.
                 RUNNEL_TRY(const auto own, FindOwn());
                 if (own) return *own;
               }
               in_doubt = in_doubt || completed.error().retryable();
               return completed;
             }));
  upload_id_.clear();
  return info;
}

Result<ObjectInfo> S3Store::Writer::CompleteOnce(const std::string& body) {
  Call call{.name = "CompleteMultipartUpload",
            .method = http::Method::kPost,
            .key = full_key_,
            .query = {{"uploadId", upload_id_}},
            .headers = {{.name = "content-type", .value = "application/xml"}},
            .body = AsBytes(body),
            .idle_timeout = kCompletionPatience};
  RUNNEL_TRY(const http::Response response, store_.SendPut(call, options_.condition));
  // A failure that comes late has status 200, and the error in the body.
  const auto etag = ParseCompletedEtag(response.body);
  if (response.status != 200 || !etag) {
    Error error = store_.PutFailure(call, response, options_.condition);
    // The upload, not the object: PutFailure() cannot know.
    const bool no_upload = RefusalOf(response).body.code == "NoSuchUpload";
    if (no_upload) error = Error(Errc::kUnavailable, error.message());
    return Fail(std::move(error));
  }
  if (etag->empty()) {  // Ceph leaves it to be asked for
    RUNNEL_TRY(const auto own, FindOwn());
    if (own) return *own;
  }
  return ObjectInfo{.key = key_,
                    .size_bytes = size_bytes_,
                    .etag = Etag(*etag),
                    .timestamp = *options_.timestamp};
}

Result<std::optional<ObjectInfo>> S3Store::Writer::FindOwn() {
  RUNNEL_TRY(const http::Response response, store_.SendHead(full_key_));
  const std::string* const mark = http::FindHeader(response.headers, kMarkHeader);
  const std::string* const etag = http::FindHeader(response.headers, "etag");
  if (response.status != 200 || mark == nullptr || *mark != mark_ || etag == nullptr) {
    return std::optional<ObjectInfo>();
  }
  return std::optional(ObjectInfo{.key = key_,
                                  .size_bytes = size_bytes_,
                                  .etag = Etag(Unquoted(*etag)),
                                  .timestamp = *options_.timestamp});
}

Result<void> S3Store::Writer::CheckAbsent() {
  RUNNEL_TRY(const http::Response response, store_.SendHead(full_key_));
  if (response.status == 200) return Fail(Errc::kAlreadyExists, full_key_ + ": already there");
  return {};
}

void S3Store::Writer::Abort() {
  const Call call{.name = "AbortMultipartUpload",
                  .method = http::Method::kDelete,
                  .key = full_key_,
                  .query = {{"uploadId", upload_id_}},
                  .on_stop = Call::OnStop::kFinish};
  auto aborted = Retry(Attempts(), [&]() -> Result<void> {
    RUNNEL_TRY(const http::Response response, store_.client_.Send(call));
    if (response.status < 300 || response.status == 404) return {};
    return Fail(store_.client_.Failure(call, response));
  });
  if (aborted) return;
  store_.environment_.log.Warn(
      "an upload in parts could not be aborted; its parts are stored and billed until a lifecycle "
      "rule of the bucket removes them (AbortIncompleteMultipartUpload)",
      {{"key", full_key_}, {"error", aborted.error()}});
}

}  // namespace runnel::store::s3
