// A puppet: an application that does one thing at a time, and stops inside SQLite where it is told.
//
// It reads one command a line and answers with one line, in step, so that a test with several
// agents has one order of events and no sleeps:
//
//   open NAME PATH              ok | error CODE MESSAGE
//   exec NAME SQL               ok FIRST-COLUMN-OF-FIRST-ROW | error CODE MESSAGE
//   checkpoint NAME MODE        ok RC LOG-FRAMES CHECKPOINTED-FRAMES
//   timeout NAME MS             ok
//   autocheckpoint NAME FRAMES  ok
//   persist NAME                ok: the last close neither checkpoints nor deletes the WAL
//   close NAME                  ok
//   arm NAME POINT ACTION NTH   ok; POINT: unfetch, wal-write, wal-sync, db-write;
//                               ACTION: pause, die
//   continue                    leaves a pause; the answer is that of the command that was paused
//
// A command that reaches a point armed with `pause` is answered with `paused NAME`; until
// `continue`, commands for other connections are carried out inside it. With `die` the process
// kills itself there.

#include <sqlite3.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "apps/shim_vfs.h"

namespace runnel::apps {
namespace {

enum class Action : unsigned char { kPause, kDie };

const std::map<std::string, Point> kPoints = {{"unfetch", Point::kUnfetch},
                                              {"wal-write", Point::kWalWrite},
                                              {"wal-sync", Point::kWalSync},
                                              {"db-write", Point::kDbWrite}};
const std::map<std::string, Action> kActions = {{"pause", Action::kPause}, {"die", Action::kDie}};
const std::map<std::string, int> kModes = {{"passive", SQLITE_CHECKPOINT_PASSIVE},
                                           {"full", SQLITE_CHECKPOINT_FULL},
                                           {"restart", SQLITE_CHECKPOINT_RESTART},
                                           {"truncate", SQLITE_CHECKPOINT_TRUNCATE}};

class Agent {
 public:
  // Until `continue` inside a pause, or the end of input.
  void Serve() {
    std::string line;
    while (std::getline(std::cin, line)) {
      if (line == "continue") return;
      std::istringstream words(line);
      std::cout << Answer(words) << std::endl;
    }
    std::exit(0);
  }

 private:
  struct Connection {
    explicit Connection(std::unique_ptr<ShimVfs> shim) : vfs(std::move(shim)) {}
    ~Connection() { sqlite3_close(db); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    std::unique_ptr<ShimVfs> vfs;
    sqlite3* db = nullptr;
    Action action = Action::kPause;
  };

  std::string Answer(std::istringstream& words) {
    std::string command;
    std::string name;
    words >> command >> name;
    if (command == "open") return Open(name, words);
    const auto found = connections_.find(name);
    if (found == connections_.end()) return "error 0 no connection " + name;
    Connection& connection = *found->second;
    if (command == "exec") return Execute(connection, words);
    if (command == "checkpoint") return Checkpoint(connection, words);
    if (command == "arm") return Arm(connection, words);
    if (command == "persist") {
      sqlite3_db_config(connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
      return "ok";
    }
    if (command == "close") {
      connections_.erase(found);
      return "ok";
    }
    int number = 0;
    words >> number;
    if (command == "timeout") {
      sqlite3_busy_timeout(connection.db, number);
      return "ok";
    }
    if (command == "autocheckpoint") {
      sqlite3_wal_autocheckpoint(connection.db, number);
      return "ok";
    }
    return "error 0 unknown command " + command;
  }

  std::string Open(const std::string& name, std::istringstream& words) {
    std::string path;
    words >> path;
    auto vfs = std::make_unique<ShimVfs>(name, [this, name](Point) { Reached(name); });
    auto connection = std::make_unique<Connection>(std::move(vfs));
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const int code = sqlite3_open_v2(path.c_str(), &connection->db, flags, connection->vfs->name());
    if (code != SQLITE_OK) return Failure(connection->db, code);
    sqlite3_extended_result_codes(connection->db, 1);
    connections_[name] = std::move(connection);
    return "ok";
  }

  static std::string Execute(Connection& connection, std::istringstream& words) {
    std::string sql;
    std::getline(words, sql);
    std::string value;
    const int code = sqlite3_exec(
        connection.db, sql.c_str(),
        [](void* out, int columns, char** values, char**) {
          auto& text = *static_cast<std::string*>(out);
          if (text.empty() && columns > 0 && values[0] != nullptr) text = values[0];
          return 0;
        },
        &value, nullptr);
    return code == SQLITE_OK ? "ok " + value : Failure(connection.db, code);
  }

  static std::string Checkpoint(Connection& connection, std::istringstream& words) {
    std::string mode;
    words >> mode;
    int log_frames = -1;
    int checkpointed = -1;
    const int code = sqlite3_wal_checkpoint_v2(connection.db, "main", kModes.at(mode), &log_frames,
                                               &checkpointed);
    return "ok " + std::to_string(code) + " " + std::to_string(log_frames) + " " +
           std::to_string(checkpointed);
  }

  static std::string Arm(Connection& connection, std::istringstream& words) {
    std::string point;
    std::string action;
    int nth = 0;
    words >> point >> action >> nth;
    connection.action = kActions.at(action);
    connection.vfs->Arm(kPoints.at(point), nth);
    return "ok";
  }

  void Reached(const std::string& name) {
    if (connections_.at(name)->action == Action::kDie) std::raise(SIGKILL);
    std::cout << "paused " << name << std::endl;
    Serve();
  }

  static std::string Failure(sqlite3* db, int code) {
    return "error " + std::to_string(code) + " " + sqlite3_errmsg(db);
  }

  std::map<std::string, std::unique_ptr<Connection>> connections_;
};

}  // namespace
}  // namespace runnel::apps

int main() { runnel::apps::Agent().Serve(); }
