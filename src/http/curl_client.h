// The Client that reaches real servers. The only place that knows libcurl.

#pragma once

#include <memory>
#include <string>

#include "http/client.h"

namespace runnel::http {

struct CurlOptions {
  // Handles, each with the connections it has open, that are kept for the next request.
  std::size_t idle_handles_max = 16;
  std::string user_agent = "runnel";
};

// Connections are kept and used again, the most recent first. Costs nothing while it is idle but
// those: no thread.
class CurlClient final : public Client {
 public:
  explicit CurlClient(CurlOptions options);
  ~CurlClient() override;  // no request may be under way
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  Result<Response> Send(const Request& request) override;

 private:
  class Pool;
  class Transfer;

  const CurlOptions options_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace runnel::http
