#include "replicate/spool.h"

#include <string>
#include <utility>

#include "fs/temporary.h"

namespace runnel::replicate {

Result<std::unique_ptr<SpoolFile>> SpoolFile::Create(const Environment& environment,
                                                     const LocalFiles& local,
                                                     std::string_view purpose) {
  RUNNEL_TRY_VOID(environment.fs.CreateDirectories(local.spool_folder, local.ownership));
  fs::Path path = fs::UniqueTemporaryPath(local.spool_folder / ("spool-" + std::string(purpose)),
                                          environment.random);
  RUNNEL_TRY(auto file, environment.fs.Open(path, fs::OpenMode::kCreateNew, local.ownership));
  return std::unique_ptr<SpoolFile>(
      new SpoolFile(environment.fs, std::move(path), std::move(file)));
}

SpoolFile::~SpoolFile() {
  file_.reset();
  (void)fs_.Remove(path_);  // what is left is swept at the next start
}

Result<std::unique_ptr<fs::File>> SpoolFile::OpenForReading() const {
  return fs_.Open(path_, fs::OpenMode::kRead);
}

}  // namespace runnel::replicate
