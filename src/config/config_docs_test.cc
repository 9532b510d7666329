// docs/configuration.md says what the code does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>

#include "config/parse_config.h"
#include "config/values.h"

namespace runnel::config {
namespace {

// Key and default of each row of the page's tables.
std::map<std::string, std::string> DocumentedKeys() {
  std::ifstream file(RUNNEL_SOURCE_DIR "/docs/configuration.md");
  EXPECT_TRUE(file.is_open());
  static const std::regex row("^\\| `([^`]+)` \\| ([^|]*)\\|.*");
  std::map<std::string, std::string> keys;
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, row)) continue;
    std::string value = match[2];
    std::erase(value, '`');
    while (value.ends_with(' ')) value.pop_back();
    EXPECT_TRUE(keys.emplace(match[1], value).second) << match[1] << " twice";
  }
  return keys;
}

TEST(ConfigurationPageTest, ListsEveryAcceptedKeyAndNoOther) {
  std::vector<std::string> documented;
  for (const auto& [key, _] : DocumentedKeys()) documented.push_back(key);
  EXPECT_THAT(documented, ::testing::UnorderedElementsAreArray(AcceptedKeys()));
}

TEST(ConfigurationPageTest, NamesTheDefaultsThatHold) {
  const std::map<std::string, std::string> documented = DocumentedKeys();
  const Config config;
  Database database;
  const Replica replica;
  const std::pair<const char*, milliseconds> durations[] = {
      {"snapshot.interval", replica.snapshots.interval},
      {"snapshot.retention", replica.snapshots.retention},
      {"l0-retention", config.l0_retention},
      {"l0-retention-check-interval", config.l0_retention_check_interval},
      {"shutdown-sync-timeout", config.shutdown_sync_timeout},
      {"shutdown-sync-interval", config.shutdown_sync_interval},
      {"sync-interval", replica.sync_interval},
      {"dbs[].sync-interval", replica.sync_interval},
      {"replica.sync-interval", replica.sync_interval},
      {"dbs[].checkpoint-interval", database.checkpoint_interval},
      {"dbs[].busy-timeout", database.busy_timeout},
  };
  for (const auto& [key, value] : durations) {
    EXPECT_EQ(ParseDuration(documented.at(key)), value) << key;
  }
  const std::pair<const char*, std::uint64_t> sizes[] = {
      {"max-staging-bytes", database.max_staging_bytes},
      {"dbs[].max-staging-bytes", database.max_staging_bytes},
      {"dbs[].max-sync-wal-bytes", database.max_sync_wal_bytes},
      {"dbs[].min-checkpoint-page-count", database.min_checkpoint_page_count},
      {"max-sync-ltx-files", replica.max_sync_ltx_files},
      {"replica.max-sync-ltx-files", replica.max_sync_ltx_files},
  };
  for (const auto& [key, value] : sizes) EXPECT_EQ(ParseSize(documented.at(key)), value) << key;
  EXPECT_EQ(documented.at("levels"), "30s, 5m, 1h");
  EXPECT_THAT(config.level_intervals,
              ::testing::ElementsAre(std::chrono::seconds(30), std::chrono::minutes(5),
                                     std::chrono::hours(1)));
  EXPECT_EQ(database.hard_bound_page_count, 2 * database.min_checkpoint_page_count);
  EXPECT_EQ(ParseBool(documented.at("retention.enabled")), config.retention_enabled);
  EXPECT_EQ(ParseBool(documented.at("verify-compaction")), config.verify_compaction);
}

}  // namespace
}  // namespace runnel::config
