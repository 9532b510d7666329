// A VFS that does what the default one does, and stops at chosen points inside SQLite, so that a
// test can put another process into a window of nanoseconds.

#pragma once

#include <sqlite3.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

namespace runnel::apps {

enum class Point : unsigned char {
  kUnfetch,   // in a checkpoint, between its look at the header and its look at nBackfill
  kWalWrite,  // before a write to the WAL
  kWalSync,   // after a sync of the WAL; in a commit with synchronous=FULL, before it is published
  kDbWrite,   // before a checkpoint's write to the database
};
inline constexpr int kPointCount = 4;

// One for each connection: the connection opens its database by name().
class ShimVfs {
 public:
  // `reached` is called inside SQLite when an armed point is reached.
  ShimVfs(const std::string& name, std::function<void(Point)> reached);
  ~ShimVfs();
  ShimVfs(const ShimVfs&) = delete;
  ShimVfs& operator=(const ShimVfs&) = delete;

  const char* name() const { return name_.c_str(); }

  // `reached` will be called at the `nth` (1, 2, ..) time from now, once.
  void Arm(Point point, int nth) { armed_[static_cast<std::size_t>(point)] = nth; }

  void Pass(Point point);  // for the file methods

 private:
  const std::string name_;
  const std::function<void(Point)> reached_;
  std::array<int, kPointCount> armed_{};
  sqlite3_vfs vfs_;
};

}  // namespace runnel::apps
