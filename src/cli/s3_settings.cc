#include "cli/s3_settings.h"

#include "fs/file_operations.h"
#include "store/s3/endpoint.h"
#include "store/s3/location.h"

namespace runnel::cli {
namespace {

using store::s3::Settings;

constexpr std::size_t kKeyFileMax = 4096;

std::string Lookup(const Process& process, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = process.environment.find(name);
    if (found != process.environment.end() && !found->second.empty()) return found->second;
  }
  return "";
}

Result<void> ApplyCustomerKey(Process& process, const config::S3Keys& keys, Settings& out) {
  if (keys.sse_customer_algorithm && *keys.sse_customer_algorithm != "AES256") {
    return Fail(Errc::kInvalidArgument, "sse-customer-algorithm: AES256 is the one there is");
  }
  if (keys.sse_customer_key) {
    RUNNEL_TRY(out.customer_key, store::s3::MakeCustomerKey(keys.sse_customer_key->Reveal()));
  }
  if (keys.sse_customer_key_path) {
    RUNNEL_TRY(const Bytes text,
               fs::ReadFile(process.fs, *keys.sse_customer_key_path, kKeyFileMax));
    std::string_view key = AsText(text);
    while (key.ends_with('\n') || key.ends_with('\r')) key.remove_suffix(1);
    RUNNEL_TRY(out.customer_key, store::s3::MakeCustomerKey(key));
  }
  return {};
}

Result<void> ApplyKeys(Process& process, const config::S3Keys& keys, Settings& out) {
  using namespace store::s3;
  if (keys.bucket) out.bucket = *keys.bucket;
  if (keys.endpoint) out.endpoint = WithScheme(*keys.endpoint);
  if (keys.region) out.region = *keys.region;
  if (keys.force_path_style) {
    out.addressing = *keys.force_path_style ? Addressing::kPath : Addressing::kVirtualHost;
  }
  if (keys.sign_payload) {
    out.payload_signing = *keys.sign_payload ? PayloadSigning::kSigned : PayloadSigning::kUnsigned;
  }
  if (keys.require_content_md5) {
    out.delete_checksum =
        *keys.require_content_md5 ? DeleteChecksum::kContentMd5 : DeleteChecksum::kNone;
  }
  if (keys.skip_verify) {
    out.transport.peer_check =
        *keys.skip_verify ? http::PeerCheck::kSkip : http::PeerCheck::kVerify;
  }
  if (keys.ca_file) out.transport.ca_file = *keys.ca_file;
  if (keys.storage_class) out.storage_class = *keys.storage_class;
  if (keys.sse_kms_key_id) out.kms_key_id = *keys.sse_kms_key_id;
  if (keys.part_size) out.part_size_bytes = *keys.part_size;
  if (keys.concurrency) out.parts_in_flight = static_cast<unsigned>(*keys.concurrency);
  return ApplyCustomerKey(process, keys, out);
}

// A key's secrecy is for nothing if it crosses a network in the clear.
Result<void> CheckCustomerKey(const Settings& settings) {
  const bool is_remote = settings.endpoint.starts_with("http://") &&
                         store::s3::WithScheme(settings.endpoint.substr(7)).starts_with("https");
  if (!settings.customer_key || !is_remote) return {};
  return Fail(Errc::kInvalidArgument, "sse-customer-key needs an endpoint with https://");
}

// "path/relative/": Litestream joins them so.
std::string PrefixOf(std::string prefix, const fs::Path& relative) {
  if (relative.empty()) return prefix;
  while (prefix.ends_with('/')) prefix.pop_back();
  if (prefix == ".") prefix.clear();
  return (prefix.empty() ? "" : prefix + "/") + relative.generic_string() + "/";
}

}  // namespace

Result<Settings> S3SettingsOf(Process& process, const config::Replica& replica,
                              const fs::Path& relative) {
  Settings settings;
  if (!replica.url.empty()) {
    RUNNEL_TRY(settings, store::s3::ParseS3Url(replica.url));
  } else {
    settings.key_prefix = replica.path + "/";
  }
  RUNNEL_TRY_VOID(ApplyKeys(process, replica.s3, settings));
  if (settings.endpoint.empty() && store::s3::RegionOfArn(settings.bucket).empty()) {
    settings.endpoint = store::s3::WithScheme(
        Lookup(process, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "LITESTREAM_S3_ENDPOINT"}));
  }
  if (settings.transport.ca_file.empty()) {
    settings.transport.ca_file = Lookup(process, {"AWS_CA_BUNDLE"});
  }
  settings.key_prefix = PrefixOf(std::move(settings.key_prefix), relative);
  store::s3::ApplyProvider(settings);
  RUNNEL_TRY_VOID(CheckCustomerKey(settings));
  // What cannot be reached at all is said now, not after the first minute.
  RUNNEL_TRY_VOID(store::s3::ResolveEndpoint(settings, "us-east-1"));
  return settings;
}

config::Replica S3ReplicaOfUrl(const std::string& url) {
  config::Replica replica;
  replica.type = config::ReplicaType::kS3;
  replica.url = url;
  return replica;
}

}  // namespace runnel::cli
