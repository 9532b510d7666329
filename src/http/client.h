// HTTP requests, one at a time for each caller: the interface, so that tests can answer.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace runnel::http {

enum class Method : std::uint8_t { kGet, kHead, kPut, kPost, kDelete };

std::string_view MethodName(Method method);  // "GET"

struct Header {
  std::string name;  // in lower case
  std::string value;
};
using Headers = std::vector<Header>;

// Null if there is none. `name` in lower case.
const std::string* FindHeader(const Headers& headers, std::string_view name);

enum class PeerCheck : std::uint8_t { kVerify, kSkip };

// How a server is reached.
struct Transport {
  PeerCheck peer_check = PeerCheck::kVerify;
  std::string ca_file = {};  // certificates to trust, PEM; empty: those of the system
  std::string proxy = {};    // empty: http_proxy, https_proxy and no_proxy of the environment
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
};

struct Request {
  Method method = Method::kGet;
  std::string url;  // goes over the wire as it is
  Headers headers = {};
  ByteView body = {};  // valid until Send() returns
  // Where the body of a 2xx response goes if this is not empty.
  MutableBytes body_out = {};
  // The longest body that is kept in Response::body.
  std::size_t body_size_max = std::size_t{16} << 20;
  // With nothing sent or received for so long the request has failed.
  std::chrono::seconds idle_timeout{60};
  Transport transport = {};
  // Asked while the request is under way, about once a second when nothing moves: yes ends it with
  // kCancelled. Called from the sending thread.
  std::function<bool()> stop_requested = {};
};

struct Response {
  int status = 0;
  Headers headers = {};  // names in lower case
  Bytes body = {};
  std::size_t body_out_size = 0;  // how much of Request::body_out was filled
};

// Thread-safe.
class Client {
 public:
  virtual ~Client() = default;

  // Blocks. Any response is a success, whatever its status; redirects are not followed. An error
  // leaves open whether the request took effect: kUnavailable (no connection, or lost), kTimedOut,
  // kCancelled, kPermissionDenied (the certificate is not trusted), kInvalidArgument (the URL),
  // kCorruption (a response that is too long, or is none).
  virtual Result<Response> Send(const Request& request) = 0;
};

}  // namespace runnel::http
