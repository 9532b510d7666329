#pragma once

#include <memory>
#include <string>

#include "store/s3/multipart.h"
#include "store/s3/s3_store.h"

namespace runnel::store::s3 {

// Collects one part; more than that goes as a multipart upload.
class S3Store::Writer final : public ObjectWriter {
 public:
  // `options` has a timestamp.
  Writer(S3Store& store, ObjectKey key, PutOptions options);
  ~Writer() override;

  Result<void> Append(ByteView bytes) override;
  Result<ObjectInfo> Commit() override;

 private:
  std::size_t PartSize() const;  // of the part that is being collected
  Result<void> SendPart();
  Result<void> StartUpload();
  Result<std::string> UploadPart(unsigned number, ByteView body);
  Result<ObjectInfo> Complete();
  Result<ObjectInfo> CompleteOnce(const std::string& body);
  // The object, if it is what this upload has made.
  Result<std::optional<ObjectInfo>> FindOwn();
  Result<void> CheckAbsent();
  void Abort();
  RetryAttempts Attempts() const;

  S3Store& store_;
  const ObjectKey key_;
  const std::string full_key_;
  const PutOptions options_;
  Bytes part_;
  std::uint64_t size_bytes_ = 0;
  unsigned parts_ = 0;     // handed to uploader_
  std::string upload_id_;  // empty: there is no upload
  std::string mark_;       // kept with the object, to know it again
  std::unique_ptr<PartUploader> uploader_;
};

}  // namespace runnel::store::s3
