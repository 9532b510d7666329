#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "store/s3/digest.h"
#include "store/s3/s3_store.h"
#include "store/s3/xml.h"

namespace runnel::store::s3 {
namespace {

constexpr std::size_t kBatchMax = 1000;

}  // namespace

Result<void> S3Store::Delete(std::span<const ObjectKey> keys) {
  std::vector<std::string> batch;
  std::vector<std::string> single;
  for (const ObjectKey& key : keys) {
    std::string full_key = FullKey(key);
    (FitsXml(full_key) ? batch : single).push_back(std::move(full_key));
  }
  if (batch.size() == 1) {
    single.push_back(std::move(batch.front()));
    batch.clear();
  }
  for (std::size_t done = 0; done < batch.size(); done += kBatchMax) {
    const auto rest = std::span<const std::string>(batch).subspan(done);
    RUNNEL_TRY_VOID(DeleteBatch(rest.first(std::min(rest.size(), kBatchMax))));
  }
  for (const std::string& full_key : single) RUNNEL_TRY_VOID(DeleteOne(full_key));
  return {};
}

Result<void> S3Store::DeleteOne(const std::string& full_key) {
  const Call call{.name = "DeleteObject", .method = http::Method::kDelete, .key = full_key};
  RUNNEL_TRY(const http::Response response, client_.Send(call));
  if (response.status < 300) return {};
  Error error = client_.Failure(call, response);
  if (error.code() == Errc::kNotFound) return {};
  return Fail(std::move(error));
}

// What the answer does not call deleted is deleted singly: some stores leave keys out.
Result<void> S3Store::DeleteBatch(std::span<const std::string> full_keys) {
  std::vector<std::string> left(full_keys.begin(), full_keys.end());
  if (!facts_->deletes_one_by_one) {
    const std::string body = MakeDelete(full_keys);
    Call call{.name = "DeleteObjects",
              .method = http::Method::kPost,
              .query = {{"delete", ""}},
              .headers = {{.name = "content-type", .value = "application/xml"}},
              .body = AsBytes(body)};
    if (settings().delete_checksum == DeleteChecksum::kContentMd5) {
      call.headers.push_back({.name = "content-md5", .value = Base64(Md5(AsBytes(body)))});
    }
    RUNNEL_TRY(const http::Response response, client_.Send(call));
    if (response.status == 200) {
      const auto result = ParseDelete(response.body);
      if (!result) return Fail(client_.Failure(call, response));
      for (const FailedDelete& failed : result->failed) {
        if (failed.code == "NoSuchKey") continue;
        call.key = failed.key;
        http::Response refusal{.status = 200};
        const std::string text = fmt::format("<Error><Code>{}</Code></Error>", failed.code);
        refusal.body.assign(AsBytes(text).begin(), AsBytes(text).end());
        return Fail(client_.Failure(call, refusal));
      }
      std::erase_if(left, [&](const std::string& key) {
        return std::ranges::find(result->deleted, key) != result->deleted.end();
      });
    } else {
      Error error = client_.Failure(call, response);
      if (error.code() != Errc::kUnsupported) return Fail(std::move(error));
      facts_->deletes_one_by_one = true;
    }
  }
  for (const std::string& full_key : left) RUNNEL_TRY_VOID(DeleteOne(full_key));
  return {};
}

}  // namespace runnel::store::s3
