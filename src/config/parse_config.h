// From the text of a configuration file to a Config. Pure: reading the file is the caller's.
//
//   (1) Every key that Litestream 0.3 or 0.5 knew is honoured, or warned of with its effect, or
//       refused where ignoring it would cost safety. Any other key is an error, naming the nearest
//       one that is known; under the name `litestream` it is a warning.
//   (2) All that is wrong is reported, each with its place and a cure.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/diagnostic.h"
#include "config/environment.h"

namespace runnel::config {

enum class Strictness : std::uint8_t {
  kRunnel,      // an unknown key is an error
  kLitestream,  // it is a warning
};
enum class Expansion : std::uint8_t { kEnvironment, kNone };

struct ParseOptions {
  Strictness strictness = Strictness::kRunnel;
  Expansion expansion = Expansion::kEnvironment;
  Environment environment = {};        // HOME is used for "~/" too
  std::string working_directory = {};  // absolute; what relative paths are relative to
};

struct ParsedConfig {
  std::optional<Config> config;  // absent if there was an error
  std::vector<Diagnostic> diagnostics;
};

ParsedConfig ParseConfig(std::string_view text, const ParseOptions& options);

// The keys of each section that are read, for the test of the documentation: "dbs[].path".
std::vector<std::string> AcceptedKeys();

}  // namespace runnel::config
