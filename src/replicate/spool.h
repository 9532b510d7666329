// A local file for work in progress, gone with the object.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "fs/file_stream.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "replicate/settings.h"

namespace runnel::replicate {

// One thread at a time. The file system outlives it. After a crash the file is left behind under a
// temporary name, and swept at the next start.
class SpoolFile {
 public:
  static Result<std::unique_ptr<SpoolFile>> Create(const Environment& environment,
                                                   const LocalFiles& local,
                                                   std::string_view purpose);
  ~SpoolFile();
  SpoolFile(const SpoolFile&) = delete;
  SpoolFile& operator=(const SpoolFile&) = delete;

  ByteSink& sink() { return sink_; }
  // What was appended can be read now.
  Result<void> Flush() { return sink_.Flush(); }

  // The file again, to be read from the start.
  Result<std::unique_ptr<fs::File>> OpenForReading() const;

 private:
  SpoolFile(fs::FileSystem& fs, fs::Path path, std::unique_ptr<fs::File> file)
      : fs_(fs), path_(std::move(path)), file_(std::move(file)), sink_(*file_) {}

  fs::FileSystem& fs_;
  const fs::StoredPath path_;
  std::unique_ptr<fs::File> file_;
  fs::FileSink sink_;
};

}  // namespace runnel::replicate
