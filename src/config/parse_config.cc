#include "config/parse_config.h"

#include "config/sections.h"
#include "config/yaml_tree.h"

namespace runnel::config {

ParsedConfig ParseConfig(std::string_view text, const ParseOptions& options) {
  Diagnostics diagnostics;
  std::string expanded;
  if (options.expansion == Expansion::kEnvironment) {
    expanded = ExpandEnvironment(text, options.environment, diagnostics);
    text = expanded;
  }
  ParsedConfig parsed;
  if (const std::optional<YamlNode> root = ParseYaml(text, diagnostics)) {
    ValueReader reader(options, diagnostics);
    reader.set_known_sections({{"the top level", NamesOf(TopRules())},
                               {"an entry of dbs", NamesOf(DatabaseRules())},
                               {"a replica", NamesOf(ReplicaRules())}});
    TopSection top;
    ReadSection<TopSection>(reader, *root, "the top level", TopRules(), top);
    Config config = Resolve(top, reader);
    if (!diagnostics.has_errors()) parsed.config = std::move(config);
  }
  parsed.diagnostics = std::move(diagnostics).Take();
  return parsed;
}

}  // namespace runnel::config
