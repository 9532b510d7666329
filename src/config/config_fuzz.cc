// Any text is a configuration or a list of errors with places, and nothing else.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "config/parse_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace runnel::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParseOptions options = {.environment = {{"A", "a: b\n"}, {"HOME", "/h"}},
                                .working_directory = "/w"};
  const ParsedConfig parsed = ParseConfig(text, options);
  bool error = false;
  for (const Diagnostic& diagnostic : parsed.diagnostics) {
    error |= diagnostic.severity == Severity::kError;
    if (FormatDiagnostic("f", diagnostic).find('\n') != std::string::npos) std::abort();
  }
  if (parsed.config.has_value() == error) std::abort();
  if (!parsed.config) return 0;
  for (const Database& database : parsed.config->databases) {
    if (database.replicas.empty() || database.cut_interval().count() <= 0) std::abort();
    if (database.hard_bound_page_count <= database.min_checkpoint_page_count) std::abort();
    for (const Replica& replica : database.replicas) {
      if (replica.type == ReplicaType::kFile && !replica.path.starts_with('/')) std::abort();
    }
  }
  return 0;
}
