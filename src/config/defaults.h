// What holds where the configuration file says nothing. docs/configuration.md lists the same
// values, and config_docs_test.cc compares the two.

#pragma once

#include <chrono>
#include <cstdint>

namespace runnel::config::defaults {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr milliseconds kSyncInterval = seconds(1);
inline constexpr milliseconds kCheckpointInterval = minutes(1);
inline constexpr std::uint32_t kMinCheckpointPageCount = 800;
inline constexpr std::uint32_t kHardBoundFactor = 2;  // times min-checkpoint-page-count
inline constexpr milliseconds kBusyTimeout = seconds(1);
inline constexpr std::uint64_t kMaxSyncWalBytes = std::uint64_t{64} << 20U;
inline constexpr std::uint64_t kMaxStagingBytes = std::uint64_t{1} << 30U;
inline constexpr std::uint32_t kMaxSyncLtxFiles = 256;

inline constexpr milliseconds kLevelIntervals[] = {seconds(30), minutes(5), hours(1)};
inline constexpr milliseconds kSnapshotInterval = hours(24);
inline constexpr milliseconds kSnapshotRetention = hours(24);
inline constexpr milliseconds kL0Retention = minutes(5);
inline constexpr milliseconds kL0RetentionCheckInterval = seconds(15);

inline constexpr milliseconds kShutdownSyncTimeout = seconds(30);
inline constexpr milliseconds kShutdownSyncInterval = milliseconds(500);

// How many compaction levels the replica layout has room for, L1 up.
inline constexpr std::size_t kLevelsMax = 8;

}  // namespace runnel::config::defaults
