#include "testing/s3/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/check.h"

namespace runnel::testing {
namespace {

constexpr std::size_t kHeadSizeMax = 64 << 10;

// Reads requests from one connection.
class Reader {
 public:
  explicit Reader(int socket) : socket_(socket) {}

  // Nothing at the end of the connection, or of the client's manners: then `complaint` says why.
  std::optional<ServerRequest> Next(std::string& complaint) {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (buffer_.size() > kHeadSizeMax || !Fill()) return std::nullopt;
    }
    ServerRequest request;
    const std::string head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    if (!ParseHead(head, request)) {
      complaint = "400 no request";
      return std::nullopt;
    }
    const bool has_body = request.method == "PUT" || request.method == "POST";
    const std::string length = request.header("content-length");
    if (!request.header("transfer-encoding").empty()) complaint = "501 chunked";
    if (!request.header("expect").empty()) complaint = "417 not waiting";
    if (request.header("host").empty()) complaint = "400 no host";
    if (has_body && length.empty()) complaint = "411 no length";
    std::size_t size = 0;
    std::from_chars(length.data(), length.data() + length.size(), size);
    if (!complaint.empty()) return std::nullopt;
    while (buffer_.size() < size) {
      if (!Fill()) return std::nullopt;
    }
    const ByteView body = AsBytes(std::string_view(buffer_).substr(0, size));
    request.body.assign(body.begin(), body.end());
    buffer_.erase(0, size);
    return request;
  }

 private:
  bool Fill() {
    const ssize_t count = ::recv(socket_, piece_.data(), piece_.size(), 0);
    if (count <= 0) return false;
    buffer_.append(piece_.data(), static_cast<std::size_t>(count));
    return true;
  }

  static bool ParseHead(std::string_view head, ServerRequest& request) {
    const auto line = [&head] {
      const std::size_t end = head.find("\r\n");
      const std::string_view first = head.substr(0, end);
      head.remove_prefix(std::min(end + 2, head.size()));
      return first;
    };
    const std::string_view start = line();
    const std::size_t first = start.find(' ');
    const std::size_t last = start.rfind(' ');
    if (first == start.npos || last <= first || start.substr(last + 1) != "HTTP/1.1") return false;
    request.method = start.substr(0, first);
    const std::string_view target = start.substr(first + 1, last - first - 1);
    const std::size_t question = std::min(target.find('?'), target.size());
    request.path = target.substr(0, question);
    request.query = target.substr(std::min(question + 1, target.size()));
    while (!head.empty()) {
      const std::string_view text = line();
      const std::size_t colon = text.find(':');
      if (colon == text.npos) return false;
      http::Header header{.name = std::string(text.substr(0, colon)), .value = {}};
      for (char& c : header.name) c = static_cast<char>(std::tolower(c));
      header.value = text.substr(std::min(text.find_first_not_of(' ', colon + 1), text.size()));
      request.headers.push_back(std::move(header));
    }
    return request.path.starts_with('/');
  }

  const int socket_;
  std::vector<char> piece_ = std::vector<char>(512 << 10);
  std::string buffer_;
};

bool SendAll(int socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// Whether the connection goes on.
bool Answer(int socket, const ServerRequest& request, const ServerResponse& response) {
  using Delivery = ServerResponse::Delivery;
  if (response.delivery == Delivery::kNothing) return false;
  std::string head = fmt::format("HTTP/1.1 {} X\r\n", response.status);
  for (const auto& header : response.headers) head += header.name + ": " + header.value + "\r\n";
  if (http::FindHeader(response.headers, "content-length") == nullptr && response.status != 204) {
    head += fmt::format("content-length: {}\r\n", response.body.size());
  }
  std::string_view body = response.body;
  if (request.method == "HEAD") body = {};
  if (response.delivery == Delivery::kCutBody) body = body.substr(0, body.size() / 2);
  // In one piece: two small ones wait for each other's acknowledgement.
  return SendAll(socket, head + "\r\n" + std::string(body)) &&
         response.delivery == Delivery::kWhole;
}

}  // namespace

std::string ServerRequest::header(std::string_view name) const {
  const std::string* const value = http::FindHeader(headers, name);
  return value != nullptr ? *value : "";
}

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  RUNNEL_CHECK(listener_ >= 0);
  RUNNEL_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  RUNNEL_CHECK(::listen(listener_, 64) == 0);
  RUNNEL_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { Accept(); });
}

HttpServer::~HttpServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int socket : open_sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  connections_.clear();
  ::close(listener_);
}

std::string HttpServer::url() const { return fmt::format("http://127.0.0.1:{}", port_); }

int HttpServer::connections_made() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(connections_.size());
}

void HttpServer::Accept() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::lock_guard lock(mutex_);
    if (stopping_ || socket < 0) {
      if (socket >= 0) ::close(socket);
      return;
    }
    const int on = 1;
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    open_sockets_.push_back(socket);
    connections_.emplace_back([this, socket] { Serve(socket); });
  }
}

void HttpServer::Serve(int socket) {
  Reader reader(socket);
  for (;;) {
    std::string complaint;
    const auto request = reader.Next(complaint);
    if (!request) {
      if (!complaint.empty()) {
        (void)SendAll(socket, "HTTP/1.1 " + complaint + "\r\ncontent-length: 0\r\n\r\n");
      }
      break;
    }
    if (!Answer(socket, *request, handler_(*request))) break;
  }
  const std::lock_guard lock(mutex_);
  open_sockets_.remove(socket);
  ::close(socket);
}

}  // namespace runnel::testing
