// A small HTTP/1.1 server on the loopback, for tests of clients: strict about what it is sent, and
// able to answer badly.

#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "http/client.h"

namespace runnel::testing {

struct ServerRequest {
  std::string method;
  std::string path;       // as it was sent
  std::string query;      // as it was sent, without the '?'
  http::Headers headers;  // names in lower case
  Bytes body;

  std::string header(std::string_view name) const;  // empty if there is none
};

struct ServerResponse {
  enum class Delivery : std::uint8_t {
    kWhole,
    kNothing,  // the connection is closed instead
    kCutBody,  // half of the body, then the same
  };

  int status = 200;
  http::Headers headers = {};
  std::string body = {};
  Delivery delivery = Delivery::kWhole;
};

// Every connection has a thread, and is kept open as long as the client likes.
class HttpServer {
 public:
  // Called from several threads at once.
  using Handler = std::function<ServerResponse(const ServerRequest&)>;

  explicit HttpServer(Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const;  // "http://127.0.0.1:port"
  int port() const { return port_; }
  int connections_made() const;

 private:
  void Accept();
  void Serve(int socket);

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;  // guards what follows
  bool stopping_ = false;
  std::list<int> open_sockets_;
  std::list<std::jthread> connections_;
  std::jthread acceptor_;
};

}  // namespace runnel::testing
