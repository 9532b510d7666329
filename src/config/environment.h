// `$NAME` and `${NAME}` in the text of a configuration file, as Litestream expands them.
//
//   (1) It is done on the text, before YAML is read: in comments too, and a value may bring YAML
//       syntax with it.
//   (2) A variable that is not set becomes nothing. `$PID` is the number of this process.
//   (3) A `$` before a digit or one of `*#$@!?-` is eaten with it; one before anything else stays.
//       There is no escape and no `${NAME:-default}`: a secret with a `$` needs -no-expand-env.
//
// (2) and (3) have surprised many: outside comments each is warned of.

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "config/diagnostic.h"

namespace runnel::config {

using Environment = std::map<std::string, std::string, std::less<>>;

// Places in the warnings are those of `text`, not of the result.
std::string ExpandEnvironment(std::string_view text, const Environment& environment,
                              Diagnostics& diagnostics);

}  // namespace runnel::config
