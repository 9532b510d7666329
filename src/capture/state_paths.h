// Where the local state of a database lies (docs/formats/state.md). Litestream's own part,
// `ltx/0`, is where Litestream has it; everything else is under `runnel/`.

#pragma once

#include <string>

#include "base/ids.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"

namespace runnel::capture {

class StatePaths {
 public:
  // `root`: the state folder of one database, e.g. "/srv/.app.db-litestream".
  explicit StatePaths(fs::Path root) : root_(std::move(root)) {}

  fs::Path root() const { return root_; }
  fs::Path cuts() const { return root_ / "ltx" / "0"; }
  fs::Path runnel() const { return root_ / "runnel"; }
  fs::Path lock() const { return runnel() / "lock"; }
  fs::Path checksums() const { return runnel() / "pages"; }
  fs::Path position() const { return runnel() / "position"; }
  fs::Path segment(Txid txid) const { return runnel() / ("segment-" + FormatTxid(txid)); }
  fs::Path spool(std::string_view purpose) const {
    return runnel() / ("spool-" + std::string(purpose) + ".tmp");
  }

 private:
  fs::StoredPath root_;
};

}  // namespace runnel::capture
