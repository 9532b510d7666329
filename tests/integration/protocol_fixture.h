// A database that an agent has made, and the daemon's registry beside it.

#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "fs/posix_file_system.h"
#include "integration/agent.h"
#include "sqlite/connection.h"
#include "sqlite/open_registry.h"
#include "sqlite/wal_index.h"
#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::integration {

class ProtocolTest : public ::testing::TestWithParam<AgentSqlite> {
 protected:
  // The agent's connection `w` never checkpoints by itself and never waits.
  ProtocolTest() {
    OpenIn(app_, "w");
    app_.Do("exec w PRAGMA journal_mode=WAL");
    app_.Do("exec w CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
  }

  void OpenIn(Agent& agent, const std::string& name) {
    agent.Do("open " + name + " " + path_.native());
    agent.Do("autocheckpoint " + name + " 0");
    agent.Do("timeout " + name + " 0");
    agent.Do("exec " + name + " PRAGMA synchronous=FULL");
  }

  // One of the daemon's, idle, that has seen the WAL.
  std::unique_ptr<sqlite::Connection> Connect() {
    auto connection = registry_.Open(path_);
    EXPECT_OK(connection);
    EXPECT_OK((*connection)->Begin());
    EXPECT_OK((*connection)->Rollback());
    return std::move(connection).value();
  }

  static sqlite::LiveWalIndex Live(sqlite::Connection& connection) {
    auto live = sqlite::ReadLiveWalIndex(connection);
    EXPECT_OK(live);
    return live.value_or(sqlite::LiveWalIndex{});
  }

  static Position LivePosition(sqlite::Connection& connection) {
    return Parse(Live(connection).header);
  }

  const testing::TempDir directory_;
  const fs::Path path_ = directory_.path() / "app.db";
  fs::PosixFileSystem file_system_;
  sqlite::OpenRegistry registry_{file_system_};
  Agent app_{GetParam()};
};

}  // namespace runnel::integration
