// YAML text as a tree of plain values with places, so that nothing else sees the library that
// reads it, and a hostile text costs bounded memory and stack.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace runnel::config {

struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Place place;
  std::string text = {};             // kScalar
  std::vector<YamlNode> items = {};  // kList, kMap: in the order of the file
  std::string key = {};              // of an item of a map; one may come twice
  Place key_place = {};
};

inline constexpr std::size_t kYamlNodesMax = 200'000;  // aliases count as often as they are used
inline constexpr std::size_t kYamlDepthMax = 50;

// The one document in `text`; an empty text is null. Anchors and aliases are followed, and `<<`
// merged. Nothing, with an error added, if it cannot be read.
std::optional<YamlNode> ParseYaml(std::string_view text, Diagnostics& diagnostics);

}  // namespace runnel::config
