// What is wrong, or doubtful, in a configuration file.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace runnel::config {

enum class Severity : std::uint8_t { kWarning, kError };

// One finding, with its cure in the message. Never holds the value of a secret.
struct Diagnostic {
  Severity severity = Severity::kError;
  Place place;
  std::string message;
};

// "/etc/runnel.yml:7:3: error: unknown key ..."
std::string FormatDiagnostic(std::string_view file, const Diagnostic& diagnostic);

// Collects, so that one look shows all there is to mend.
class Diagnostics {
 public:
  void AddError(Place place, std::string message) {
    all_.push_back({Severity::kError, place, std::move(message)});
    has_errors_ = true;
  }
  void AddWarning(Place place, std::string message) {
    all_.push_back({Severity::kWarning, place, std::move(message)});
  }

  bool has_errors() const { return has_errors_; }
  // In the order of the file.
  std::vector<Diagnostic> Take() &&;

 private:
  std::vector<Diagnostic> all_;
  bool has_errors_ = false;
};

}  // namespace runnel::config
