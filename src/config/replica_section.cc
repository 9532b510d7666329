#include <array>

#include "config/sections.h"

namespace runnel::config {
namespace {

using Rule = KeyRule<ReplicaSection>;

constexpr std::array<std::string_view, 28> kStoreKeys = {"account-name",
                                                         "account-key",
                                                         "sas-token",
                                                         "host",
                                                         "user",
                                                         "password",
                                                         "key-path",
                                                         "host-key",
                                                         "concurrent-writes",
                                                         "webdav-url",
                                                         "webdav-username",
                                                         "webdav-password",
                                                         "jwt",
                                                         "seed",
                                                         "creds",
                                                         "nkey",
                                                         "username",
                                                         "token",
                                                         "tls",
                                                         "root-cas",
                                                         "client-cert",
                                                         "client-key",
                                                         "max-reconnects",
                                                         "reconnect-wait",
                                                         "timeout",
                                                         "sse-customer-key-md5",
                                                         "max-retries",
                                                         "dial-timeout"};

constexpr std::string_view kEncryption =
    "client-side encryption is not supported, and without it the copy would be readable by "
    "whoever can read the store: remove the key only if that is acceptable";

std::vector<Rule> MakeRules() {
  std::vector<Rule> rules = {
      Rule::Honoured("type", [](auto& r, auto& v, auto& s) { r.ReadText(v, s.type); }),
      Rule::Honoured("url", [](auto& r, auto& v, auto& s) { r.ReadText(v, s.url); }),
      Rule::Honoured("path", [](auto& r, auto& v, auto& s) { r.ReadText(v, s.path); }),
      Rule::Honoured("name", [](auto& r, auto& v, auto& s) { r.ReadText(v, s.name); }),
      Rule::Honoured("required", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.required); }),
      Rule::Honoured("sync-interval",
                     [](auto& r, auto& v, auto& s) { ReadSyncInterval(r, v, s.settings); }),
      Rule::Honoured("page-encoding",
                     [](auto& r, auto& v, auto& s) { ReadPageEncoding(r, v, s.settings); }),
      Rule::Pending(
          "max-sync-ltx-files",
          [](auto& r, auto& v, auto& s) { ReadMaxSyncLtxFiles(r, v, s.settings); },
          kUploadsAreSingle),
      // The form of 0.3, where these were the replica's.
      Rule::Honoured("snapshot-interval",
                     [](auto& r, auto& v, auto& s) {
                       r.ReadDuration(v, milliseconds(1), s.snapshot.interval);
                     }),
      Rule::Honoured("retention",
                     [](auto& r, auto& v, auto& s) {
                       r.ReadDuration(v, milliseconds(1), s.snapshot.retention);
                     }),
      Rule::Warned("retention-check-interval", "what is too old is looked for with each snapshot"),
      Rule::Warned("validation-interval",
                   "each object is read back and verified in the background instead"),
      Rule::Warned("auto-recover", "a replica that lost continuity is always repaired"),
      Rule::Refused("age", kEncryption),
  };
  AddS3Rules(rules);
  for (const std::string_view key : kStoreKeys) {
    rules.push_back(Rule::Honoured(
        key, [](auto& r, auto& v, auto& s) { s.store_keys.push_back({r.key(), v.place}); }));
  }
  return rules;
}

}  // namespace

std::span<const std::string_view> StoreKeys() { return kStoreKeys; }

std::span<const KeyRule<ReplicaSection>> ReplicaRules() {
  static const std::vector<Rule> rules = MakeRules();
  return rules;
}

void ReadSyncInterval(ValueReader& reader, const YamlNode& value, ReplicaSettings& out) {
  reader.ReadDuration(value, milliseconds(1), out.sync_interval);
}

void ReadPageEncoding(ValueReader& reader, const YamlNode& value, ReplicaSettings& out) {
  static constexpr std::pair<std::string_view, PageEncoding> kWords[] = {
      {"block", PageEncoding::kBlock}, {"frame", PageEncoding::kFrame}};
  reader.ReadWord<PageEncoding>(value, kWords, out.page_encoding);
}

void ReadMaxSyncLtxFiles(ValueReader& reader, const YamlNode& value, ReplicaSettings& out) {
  reader.ReadInteger(value, 0, 1'000'000, out.max_sync_ltx_files);
}

}  // namespace runnel::config
