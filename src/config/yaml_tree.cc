#include "config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace runnel::config {
namespace {

Place PlaceOf(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

// Thrown through the library's parser, and caught where that is called.
struct ReadingFailed {
  Place place;
  std::string message;
};

std::size_t CountNodes(const YamlNode& node) {
  std::size_t count = 1;
  for (const YamlNode& item : node.items) count += CountNodes(item);
  return count;
}

std::size_t Depth(const YamlNode& node) {
  std::size_t depth = 0;
  for (const YamlNode& item : node.items) depth = std::max(depth, Depth(item));
  return depth + 1;
}

// `<<: *defaults` and `<<: [*a, *b]`: items of the others, where the map has none of its own.
void Merge(YamlNode& map) {
  std::vector<YamlNode> own;
  std::vector<YamlNode> others;
  for (YamlNode& item : map.items) {
    if (item.key == "<<" && item.kind == YamlNode::Kind::kMap) {
      others.push_back(std::move(item));
    } else if (item.key == "<<" && item.kind == YamlNode::Kind::kList) {
      for (YamlNode& other : item.items) others.push_back(std::move(other));
    } else {
      own.push_back(std::move(item));
    }
  }
  map.items = std::move(own);
  for (YamlNode& other : others) {
    if (other.kind != YamlNode::Kind::kMap) continue;
    for (YamlNode& item : other.items) {
      if (std::ranges::find(map.items, item.key, &YamlNode::key) == map.items.end()) {
        map.items.push_back(std::move(item));
      }
    }
  }
}

// Builds the tree from the parser's events: a stack of the lists and maps that are open.
class TreeBuilder final : public YAML::EventHandler {
 public:
  YamlNode TakeRoot() && { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Finish({.kind = YamlNode::Kind::kNull, .place = PlaceOf(mark)}, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto anchored = anchors_.find(anchor);
    if (anchored == anchors_.end()) {
      throw ReadingFailed{PlaceOf(mark), "an alias for something that it is itself inside of"};
    }
    Count(PlaceOf(mark), CountNodes(anchored->second));
    if (open_.size() + Depth(anchored->second) > kYamlDepthMax) FailTooDeep(PlaceOf(mark));
    Attach(YamlNode(anchored->second));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool plain = tag == "?" || tag.empty();
    const bool null = plain && (value.empty() || value == "~" || value == "null" ||
                                value == "Null" || value == "NULL");
    YamlNode node{.kind = null ? YamlNode::Kind::kNull : YamlNode::Kind::kScalar,
                  .place = PlaceOf(mark)};
    if (!null) node.text = value;
    Finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open({.kind = YamlNode::Kind::kList, .place = PlaceOf(mark)}, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open({.kind = YamlNode::Kind::kMap, .place = PlaceOf(mark)}, anchor);
  }
  void OnMapEnd() override {
    Merge(open_.back().node);
    Close();
  }

 private:
  struct OpenNode {
    YamlNode node;
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::optional<YamlNode> key = {};  // of a map: read, its value not yet
  };

  [[noreturn]] static void FailTooDeep(Place place) {
    throw ReadingFailed{place, fmt::format("more than {} levels deep", kYamlDepthMax)};
  }

  void Count(Place place, std::size_t nodes) {
    count_ += nodes;
    if (count_ > kYamlNodesMax) {
      throw ReadingFailed{place, fmt::format("more than {} values", kYamlNodesMax)};
    }
  }

  void Open(YamlNode node, YAML::anchor_t anchor) {
    if (open_.size() >= kYamlDepthMax) FailTooDeep(node.place);
    Count(node.place, 1);
    open_.push_back({.node = std::move(node), .anchor = anchor});
  }

  void Close() {
    OpenNode closed = std::move(open_.back());
    open_.pop_back();
    Remember(closed.node, closed.anchor);
    Attach(std::move(closed.node));
  }

  void Finish(YamlNode node, YAML::anchor_t anchor) {
    Count(node.place, 1);
    Remember(node, anchor);
    Attach(std::move(node));
  }

  void Remember(const YamlNode& node, YAML::anchor_t anchor) {
    if (anchor == YAML::NullAnchor) return;
    Count(node.place, CountNodes(node));
    anchors_[anchor] = node;
  }

  void Attach(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      if (node.kind != YamlNode::Kind::kScalar) {
        throw ReadingFailed{node.place, "a key must be a word"};
      }
      parent.key = std::move(node);
    } else {
      node.key = std::move(parent.key->text);
      node.key_place = parent.key->place;
      parent.node.items.push_back(std::move(node));
      parent.key.reset();
    }
  }

  YamlNode root_;
  std::vector<OpenNode> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  std::size_t count_ = 0;
};

// What the library says up to a colon: behind it there may be text of the file, such as a password
// that begins with '*' and was taken for an alias.
std::string DescribeYamlError(std::string_view message) {
  return fmt::format(
      "not valid YAML: {} (a value that begins with one of *&!%@` or holds \": \" "
      "or \" #\" needs quotes)",
      message.substr(0, message.find(':')));
}

// Ends the reading at the second document; a configuration is one.
class SecondDocument final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    throw ReadingFailed{PlaceOf(mark), "a second document (after '---'): there may be one only"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

}  // namespace

std::optional<YamlNode> ParseYaml(std::string_view text, Diagnostics& diagnostics) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder;
    if (!parser.HandleNextDocument(builder)) return YamlNode{};
    SecondDocument second;
    parser.HandleNextDocument(second);
    return std::move(builder).TakeRoot();
  } catch (const ReadingFailed& failure) {
    diagnostics.AddError(failure.place, failure.message);
  } catch (const YAML::Exception& error) {
    diagnostics.AddError(PlaceOf(error.mark), DescribeYamlError(error.msg));
  } catch (const std::exception&) {
    // The library throws others for some malformed texts (numbers in escapes, for one).
    diagnostics.AddError({}, DescribeYamlError("malformed"));
  }
  return std::nullopt;
}

}  // namespace runnel::config
