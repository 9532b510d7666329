// A running app_agent (tests/apps/app_agent.cc has its commands), and what the tests of the
// protocol share.

#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "sqlite/wal_index.h"

namespace runnel::integration {

enum class AgentSqlite : std::uint8_t {
  kSystem,  // the application's: older than the daemon's
  kOurs,
};

class Agent {
 public:
  explicit Agent(AgentSqlite sqlite);
  ~Agent();  // kills it
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // One command, one answer. "died" if it ended instead; a test failure if neither comes in 20 s.
  std::string Ask(const std::string& command);

  // Ask(), and a test failure unless the answer starts with "ok". Returns what follows.
  std::string Do(const std::string& command);

 private:
  pid_t pid_ = -1;
  int channel_ = -1;
};

std::string SqliteName(const ::testing::TestParamInfo<AgentSqlite>& info);

// Fields of the wal-index header.
struct Position {
  std::uint32_t max_frame = 0;
  std::uint32_t page_count = 0;
  std::uint64_t salts = 0;
  std::uint64_t frame_checksum = 0;
  friend bool operator==(const Position&, const Position&) = default;
};
Position Parse(const sqlite::WalIndexBytes& header);

}  // namespace runnel::integration
