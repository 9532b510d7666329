#include "config/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>

namespace runnel::config {

std::string FormatDiagnostic(std::string_view file, const Diagnostic& diagnostic) {
  const char* severity = diagnostic.severity == Severity::kError ? "error" : "warning";
  if (diagnostic.place.line == 0) {
    return fmt::format("{}: {}: {}", file, severity, diagnostic.message);
  }
  return fmt::format("{}:{}:{}: {}: {}", file, diagnostic.place.line, diagnostic.place.column,
                     severity, diagnostic.message);
}

std::vector<Diagnostic> Diagnostics::Take() && {
  // An index breaks ties: std::ranges::stable_sort of libstdc++ 12 uses what C++23 deprecates.
  std::vector<std::size_t> order(all_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [this](std::size_t i) { return std::pair(all_[i].place, i); });
  std::vector<Diagnostic> sorted;
  sorted.reserve(all_.size());
  for (const std::size_t i : order) sorted.push_back(std::move(all_[i]));
  return sorted;
}

}  // namespace runnel::config
