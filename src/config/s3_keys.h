// The keys of a replica in S3, for every section that may hold them.

#pragma once

#include <vector>

#include "config/config.h"
#include "config/section_reader.h"

namespace runnel::config {

struct S3KeySection {
  S3Keys keys;
  std::vector<Text> set;  // the names of those that are there, with their places
};

// Rules that fill `Section::s3`.
template <class Section>
void AddS3Rules(std::vector<KeyRule<Section>>& rules);

// What `own` leaves open, `inherited` decides.
S3Keys MergeS3Keys(const S3Keys& own, const S3Keys& inherited);

// How a value of S3Keys is read. Each notes that its key is there.
void ReadS3Text(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                std::optional<std::string> S3Keys::* out);
void ReadS3Secret(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                  std::optional<Redacted> S3Keys::* out);
void ReadS3Bool(ValueReader& reader, const YamlNode& value, S3KeySection& section,
                std::optional<bool> S3Keys::* out);
void ReadS3PartSize(ValueReader& reader, const YamlNode& value, S3KeySection& section);
void ReadS3Concurrency(ValueReader& reader, const YamlNode& value, S3KeySection& section);

template <class Section>
void AddS3Rules(std::vector<KeyRule<Section>>& rules) {
  using Rule = KeyRule<Section>;
#define RUNNEL_S3_RULE(key, function, member) \
  rules.push_back(Rule::Honoured(             \
      key, [](auto& r, auto& v, auto& s) { function(r, v, s.s3, &S3Keys::member); }))
  RUNNEL_S3_RULE("bucket", ReadS3Text, bucket);
  RUNNEL_S3_RULE("endpoint", ReadS3Text, endpoint);
  RUNNEL_S3_RULE("region", ReadS3Text, region);
  RUNNEL_S3_RULE("access-key-id", ReadS3Text, access_key_id);
  RUNNEL_S3_RULE("secret-access-key", ReadS3Secret, secret_access_key);
  RUNNEL_S3_RULE("session-token", ReadS3Secret, session_token);
  RUNNEL_S3_RULE("force-path-style", ReadS3Bool, force_path_style);
  RUNNEL_S3_RULE("sign-payload", ReadS3Bool, sign_payload);
  RUNNEL_S3_RULE("require-content-md5", ReadS3Bool, require_content_md5);
  RUNNEL_S3_RULE("skip-verify", ReadS3Bool, skip_verify);
  RUNNEL_S3_RULE("ca-file", ReadS3Text, ca_file);
  RUNNEL_S3_RULE("storage-class", ReadS3Text, storage_class);
  RUNNEL_S3_RULE("sse-customer-algorithm", ReadS3Text, sse_customer_algorithm);
  RUNNEL_S3_RULE("sse-customer-key", ReadS3Secret, sse_customer_key);
  RUNNEL_S3_RULE("sse-customer-key-path", ReadS3Text, sse_customer_key_path);
  RUNNEL_S3_RULE("sse-kms-key-id", ReadS3Text, sse_kms_key_id);
#undef RUNNEL_S3_RULE
  rules.push_back(
      Rule::Honoured("part-size", [](auto& r, auto& v, auto& s) { ReadS3PartSize(r, v, s.s3); }));
  rules.push_back(Rule::Honoured("concurrency",
                                 [](auto& r, auto& v, auto& s) { ReadS3Concurrency(r, v, s.s3); }));
}

}  // namespace runnel::config
