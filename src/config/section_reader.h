// One section of the file (a map) against the table of keys that are known in it.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/diagnostic.h"
#include "config/parse_config.h"
#include "config/yaml_tree.h"

namespace runnel::config {

// A text and where it was written.
struct Text {
  std::string value;
  Place place;
};

// Which keys are known elsewhere: for the cure of a key in the wrong place.
struct SectionKeys {
  std::string_view where;  // "a replica"
  std::vector<std::string_view> keys;
};

// Reads single values; each function adds an error and leaves `out` alone if the value is not what
// it should be, and leaves it alone too if there is none (`key:` with nothing behind it).
class ValueReader {
 public:
  ValueReader(const ParseOptions& options, Diagnostics& diagnostics)
      : options_(options), diagnostics_(diagnostics) {}

  void ReadText(const YamlNode& value, std::optional<Text>& out);
  // A path: "~/" and relative ones made absolute, "." and ".." resolved by their names.
  void ReadPath(const YamlNode& value, std::optional<Text>& out);
  void ReadBool(const YamlNode& value, std::optional<bool>& out);
  // Rounded up to milliseconds.
  void ReadDuration(const YamlNode& value, std::chrono::milliseconds min,
                    std::optional<std::chrono::milliseconds>& out);
  void ReadInteger(const YamlNode& value, std::int64_t min, std::int64_t max,
                   std::optional<std::int64_t>& out);
  void ReadSize(const YamlNode& value, std::uint64_t min, std::optional<std::uint64_t>& out);
  // A list of words, or one word.
  void ReadWords(const YamlNode& value, std::vector<std::string>& out);

  template <class T>
  void ReadWord(const YamlNode& value, std::span<const std::pair<std::string_view, T>> words,
                std::optional<T>& out) {
    const std::string* text = Scalar(value);
    if (text == nullptr) return;
    std::string known;
    for (const auto& [word, meaning] : words) {
      if (*text == word) {
        out = meaning;
        return;
      }
      known.append(known.empty() ? "" : ", ").append(word);
    }
    Bad(value, "one of " + known);
  }

  std::string AbsolutePath(std::string_view path) const;

  Diagnostics& diagnostics() { return diagnostics_; }
  const ParseOptions& options() const { return options_; }
  // Of the value that is being read, for messages: "sync-interval".
  void set_key(std::string_view key) { key_ = key; }
  const std::string& key() const { return key_; }
  void set_known_sections(std::vector<SectionKeys> sections) { sections_ = std::move(sections); }

  // "<key> must be <what>", with a value that is no map or list shown.
  void Bad(const YamlNode& value, const std::string& what);
  void UnknownKey(const YamlNode& item, std::string_view where,
                  std::span<const std::string_view> known);

 private:
  // Null, with an error added unless `value` is null, if it is a map or a list.
  const std::string* Scalar(const YamlNode& value);

  const ParseOptions& options_;
  Diagnostics& diagnostics_;
  std::string key_;
  std::vector<SectionKeys> sections_;
};

template <class Section>
struct KeyRule {
  enum class Treatment : std::uint8_t {
    kHonoured,
    kPending,  // read, checked and documented, but what it asks for is not there yet: warned of
    kWarned,
    kRefused
  };

  std::string_view name;
  Treatment treatment = Treatment::kHonoured;
  void (*read)(ValueReader&, const YamlNode&, Section&) = nullptr;  // kHonoured, kPending
  std::string_view effect = {};  // all but kHonoured: what that means, and the cure

  static KeyRule Honoured(std::string_view name,
                          void (*read)(ValueReader&, const YamlNode&, Section&)) {
    return {.name = name, .read = read};
  }
  static KeyRule Pending(std::string_view name,
                         void (*read)(ValueReader&, const YamlNode&, Section&),
                         std::string_view effect) {
    return {.name = name, .treatment = Treatment::kPending, .read = read, .effect = effect};
  }
  static KeyRule Warned(std::string_view name, std::string_view effect) {
    return {.name = name, .treatment = Treatment::kWarned, .effect = effect};
  }
  static KeyRule Refused(std::string_view name, std::string_view effect) {
    return {.name = name, .treatment = Treatment::kRefused, .effect = effect};
  }
};

template <class Section>
std::vector<std::string_view> NamesOf(std::span<const KeyRule<Section>> rules) {
  std::vector<std::string_view> names;
  for (const KeyRule<Section>& rule : rules) names.push_back(rule.name);
  return names;
}

// Reads each entry of `node` by its rule. `where` names the section in messages: "a replica".
template <class Section>
void ReadSection(ValueReader& reader, const YamlNode& node, std::string_view where,
                 std::span<const KeyRule<Section>> rules, Section& out) {
  if (node.kind == YamlNode::Kind::kNull) return;
  if (node.kind != YamlNode::Kind::kMap) {
    reader.diagnostics().AddError(node.place, std::string(where) + " must be a map of keys");
    return;
  }
  std::vector<std::string_view> seen;
  for (const YamlNode& entry : node.items) {
    const KeyRule<Section>* rule = nullptr;
    for (const KeyRule<Section>& candidate : rules) {
      if (candidate.name == entry.key) rule = &candidate;
    }
    if (rule == nullptr) {
      reader.UnknownKey(entry, where, NamesOf(rules));
      continue;
    }
    if (std::find(seen.begin(), seen.end(), rule->name) != seen.end()) {
      reader.diagnostics().AddError(entry.key_place, entry.key + " is there twice: keep one");
      continue;
    }
    seen.push_back(rule->name);
    using Treatment = typename KeyRule<Section>::Treatment;
    if (rule->read != nullptr) {
      reader.set_key(rule->name);
      rule->read(reader, entry, out);
    }
    if (rule->treatment == Treatment::kRefused) {
      reader.diagnostics().AddError(entry.key_place, entry.key + ": " + std::string(rule->effect));
    } else if (rule->treatment != Treatment::kHonoured) {
      reader.diagnostics().AddWarning(entry.key_place,
                                      entry.key + " has no effect: " + std::string(rule->effect));
    }
  }
}

}  // namespace runnel::config
