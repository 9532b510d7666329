#include "integration/agent.h"

#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/check.h"
#include "sqlite/wal_index_layout.h"

namespace runnel::integration {
namespace {

constexpr int kPatienceMs = 20000;

const char* Program(AgentSqlite sqlite) {
  return sqlite == AgentSqlite::kSystem ? RUNNEL_APP_AGENT : RUNNEL_APP_AGENT_NEW;
}

}  // namespace

Agent::Agent(AgentSqlite sqlite) {
  std::array<int, 2> sockets;
  RUNNEL_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
  std::string program = Program(sqlite);
  std::array<char*, 2> arguments{program.data(), nullptr};
  RUNNEL_CHECK(
      ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(sockets[1]);
  channel_ = sockets[0];
}

Agent::~Agent() {
  ::close(channel_);
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Agent::Ask(const std::string& command) {
  const std::string line = command + "\n";
  if (::send(channel_, line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return "died";
  }
  std::string answer;
  for (;;) {
    pollfd ready{.fd = channel_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) {
      ADD_FAILURE() << "no answer to: " << command;
      return "";
    }
    char byte = 0;
    if (::read(channel_, &byte, 1) != 1) return "died";
    if (byte == '\n') return answer;
    answer.push_back(byte);
  }
}

std::string Agent::Do(const std::string& command) {
  const std::string answer = Ask(command);
  EXPECT_EQ(answer.substr(0, 2), "ok") << command << ": " << answer;
  return answer.size() > 3 ? answer.substr(3) : "";
}

std::string SqliteName(const ::testing::TestParamInfo<AgentSqlite>& info) {
  return info.param == AgentSqlite::kSystem ? "SystemSqlite" : "OurSqlite";
}

Position Parse(const sqlite::WalIndexBytes& header) {
  using sqlite::kHostOrder;
  return {
      .max_frame = GetInt<std::uint32_t>(header, sqlite::kMaxFrameOffset, kHostOrder),
      .page_count = GetInt<std::uint32_t>(header, sqlite::kPageCountOffset, kHostOrder),
      .salts = GetBigEndian<std::uint64_t>(header, sqlite::kSaltsOffset),
      .frame_checksum = GetInt<std::uint64_t>(header, sqlite::kFrameChecksumOffset, kHostOrder),
  };
}

}  // namespace runnel::integration
