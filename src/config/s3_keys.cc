#include "config/s3_keys.h"

namespace runnel::config {
namespace {

// S3 takes no smaller ones, but for the last.
constexpr std::uint64_t kPartSizeMin = 5ULL << 20;
constexpr std::int64_t kConcurrencyMax = 64;

void Note(ValueReader& reader, const YamlNode& value, S3KeySection& section) {
  section.set.push_back({reader.key(), value.place});
}

}  // namespace

void ReadS3Text(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                std::optional<std::string> S3Keys::* out) {
  std::optional<Text> text;
  reader.ReadText(value, text);
  if (text) section.keys.*out = text->value;
  Note(reader, value, section);
}

void ReadS3Secret(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                  std::optional<Redacted> S3Keys::* out) {
  std::optional<Text> text;
  reader.ReadText(value, text);
  if (text) section.keys.*out = Redacted(text->value);
  Note(reader, value, section);
}

void ReadS3Bool(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                std::optional<bool> S3Keys::* out) {
  reader.ReadBool(value, section.keys.*out);
  Note(reader, value, section);
}

void ReadS3PartSize(ValueReader& reader, const YamlNode& value, S3KeySection& section) {
  // Litestream's own example is 5MB, which is less than S3 takes.
  if (value.text == "5MB" || value.text == "5 MB") {
    section.keys.part_size = kPartSizeMin;
    reader.diagnostics().AddWarning(value.place,
                                    "part-size: 5MB is less than S3 takes; 5MiB it is");
  } else {
    reader.ReadSize(value, kPartSizeMin, section.keys.part_size);
  }
  Note(reader, value, section);
}

void ReadS3Concurrency(ValueReader& reader, const YamlNode& value, S3KeySection& section) {
  reader.ReadInteger(value, 1, kConcurrencyMax, section.keys.concurrency);
  Note(reader, value, section);
}

S3Keys MergeS3Keys(const S3Keys& own, const S3Keys& inherited) {
  S3Keys merged = own;
  const auto take = [&](auto S3Keys::* member) {
    if (!(merged.*member)) merged.*member = inherited.*member;
  };
  take(&S3Keys::bucket);
  take(&S3Keys::endpoint);
  take(&S3Keys::region);
  // A pair: half of one and half of another would be nobody's.
  if (!own.access_key_id && !own.secret_access_key) {
    take(&S3Keys::access_key_id);
    take(&S3Keys::secret_access_key);
    take(&S3Keys::session_token);
  }
  take(&S3Keys::force_path_style);
  take(&S3Keys::sign_payload);
  take(&S3Keys::require_content_md5);
  take(&S3Keys::skip_verify);
  take(&S3Keys::ca_file);
  take(&S3Keys::storage_class);
  if (!own.sse_customer_key && !own.sse_customer_key_path) {
    take(&S3Keys::sse_customer_key);
    take(&S3Keys::sse_customer_key_path);
  }
  take(&S3Keys::sse_customer_algorithm);
  take(&S3Keys::sse_kms_key_id);
  take(&S3Keys::part_size);
  take(&S3Keys::concurrency);
  return merged;
}

}  // namespace runnel::config
