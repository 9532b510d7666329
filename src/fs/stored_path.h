// A path that is kept.
//
// A Path carries an object for each of its components, half a kilobyte in all, which every copy of
// it allocates again. What a resting database keeps is kept as text; a Path is made of it where one
// is used.

#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "fs/file_system.h"

namespace runnel::fs {

class StoredPath {
 public:
  StoredPath() = default;
  StoredPath(const Path& path) : text_(path.native()) {}  // implicit, as all here
  StoredPath(std::string text) : text_(std::move(text)) {}
  StoredPath(std::string_view text) : text_(text) {}
  StoredPath(const char* text) : text_(text) {}
  operator Path() const { return text_; }

  Path path() const { return text_; }
  const std::string& native() const { return text_; }
  const std::string& string() const { return text_; }
  const char* c_str() const { return text_.c_str(); }
  bool empty() const { return text_.empty(); }

  friend Path operator/(const StoredPath& folder, const Path& name) { return folder.path() / name; }
  friend bool operator==(const StoredPath&, const StoredPath&) = default;
  friend bool operator==(const StoredPath& stored, const Path& path) {
    return stored.text_ == path.native();
  }
  friend bool operator==(const StoredPath& stored, const char* text) {
    return stored.text_ == text;
  }

 private:
  std::string text_;
};

}  // namespace runnel::fs
