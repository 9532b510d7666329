// Columns padded with spaces, two between them, as Go's tabwriter sets them: scripts written for
// Litestream split such lines at white space.

#pragma once

#include <string>
#include <vector>

namespace runnel::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // As many cells as the header has.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string Format() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace runnel::cli
