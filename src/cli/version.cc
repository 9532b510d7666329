#include "base/version.h"

#include <fmt/format.h>

#include "cli/command.h"

namespace runnel::cli {

Result<void> RunVersion(Process& process, std::span<const std::string> arguments) {
  Switch verbose = Switch::kOff;
  FlagSet flags("runnel version [flags]", "Prints the version of this program.");
  flags.Toggle("verbose", verbose, "also the commit and the kind of build");
  RUNNEL_TRY(const auto rest, ParseOrHelp(flags, process, arguments));
  if (!rest.empty()) return Fail(Errc::kInvalidArgument, "version takes no arguments");
  const BuildInfo info = GetBuildInfo();
  if (verbose == Switch::kOff) {
    process.out(fmt::format("{}\n", info.version));
  } else {
    process.out(fmt::format("Version:    {}\nGit Commit: {}\nBuild:      {}\n", info.version,
                            info.commit, info.build_type));
  }
  return {};
}

}  // namespace runnel::cli
