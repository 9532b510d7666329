#include "http/curl_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/redacted.h"

namespace runnel::http {
namespace {

struct HandleDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using Handle = std::unique_ptr<CURL, HandleDeleter>;

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListDeleter>;

constexpr long kBufferSize = 256L << 10;

Errc CodeOf(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OUT_OF_MEMORY: return Errc::kUnavailable;
    case CURLE_OPERATION_TIMEDOUT: return Errc::kTimedOut;
    case CURLE_ABORTED_BY_CALLBACK: return Errc::kCancelled;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return Errc::kPermissionDenied;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return Errc::kInvalidArgument;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_WRITE_ERROR: return Errc::kCorruption;
    default: return Errc::kIo;
  }
}

std::string_view CureOf(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return "; a private authority is named by ca-file or AWS_CA_BUNDLE";
    case CURLE_SSL_CACERT_BADFILE: return "; is that a file of PEM certificates?";
    case CURLE_UNSUPPORTED_PROTOCOL: return "; http and https are what is spoken";
    default: return "";
  }
}

}  // namespace

// libcurl itself, and handles that are not in use.
class CurlClient::Pool {
 public:
  explicit Pool(std::size_t idle_max) : idle_max_(idle_max) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
  }
  ~Pool() {
    idle_.clear();
    curl_global_cleanup();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  Handle Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Handle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    return Handle(curl_easy_init());
  }

  void GiveBack(Handle handle) {
    curl_easy_reset(handle.get());  // keeps the connections
    const std::lock_guard lock(mutex_);
    if (idle_.size() < idle_max_) idle_.push_back(std::move(handle));
  }

 private:
  const std::size_t idle_max_;
  std::mutex mutex_;
  std::vector<Handle> idle_;  // under mutex_
};

// One request on one handle.
class CurlClient::Transfer {
 public:
  Transfer(CURL* handle, const Request& request, const CurlOptions& options)
      : handle_(handle), request_(request), options_(options) {}

  Result<Response> Run() {
    RUNNEL_TRY_VOID(SetUp());
    const CURLcode code = curl_easy_perform(handle_);
    if (code != CURLE_OK) return Fail(ErrorOf(code));
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    response_.status = static_cast<int>(status);
    return std::move(response_);
  }

 private:
  template <class T>
  void Set(CURLoption option, T value) {
    curl_easy_setopt(handle_, option, value);
  }

  Result<void> SetUp() {
    Set(CURLOPT_ERRORBUFFER, error_.data());
    Set(CURLOPT_URL, request_.url.c_str());
    Set(CURLOPT_PATH_AS_IS, 1L);
    Set(CURLOPT_PROTOCOLS_STR, "http,https");
    Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_BUFFERSIZE, kBufferSize);
    Set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferSize);
    Set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    Set(CURLOPT_WRITEFUNCTION, &OnBody);
    Set(CURLOPT_WRITEDATA, this);
    Set(CURLOPT_HEADERFUNCTION, &OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    Set(CURLOPT_PREREQFUNCTION, &OnSend);
    Set(CURLOPT_PREREQDATA, this);
    SetTransport();
    if (request_.stop_requested) {
      Set(CURLOPT_NOPROGRESS, 0L);
      Set(CURLOPT_XFERINFOFUNCTION, &OnProgress);
      Set(CURLOPT_XFERINFODATA, this);
    }
    RUNNEL_TRY_VOID(SetHeaders());
    SetMethod();
    return {};
  }

  void SetTransport() {
    const Transport& transport = request_.transport;
    Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(transport.connect_timeout.count()));
    Set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    Set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request_.idle_timeout.count()));
    if (transport.peer_check == PeerCheck::kSkip) {
      Set(CURLOPT_SSL_VERIFYPEER, 0L);
      Set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!transport.ca_file.empty()) Set(CURLOPT_CAINFO, transport.ca_file.c_str());
    if (!transport.proxy.empty()) Set(CURLOPT_PROXY, transport.proxy.c_str());
  }

  Result<void> SetHeaders() {
    // Not to be sent: a wait for "100 Continue" costs a second where the server does not know it,
    // and a type of the body that nobody signed.
    std::vector<std::string> lines = {"Expect:", "Accept:"};
    if (FindHeader(request_.headers, "content-type") == nullptr)
      lines.emplace_back("Content-Type:");
    for (const Header& header : request_.headers) {
      if ((header.name + header.value).find_first_of("\r\n") != std::string::npos) {
        return Fail(Errc::kInvalidArgument, header.name + ": a header cannot have a line's end");
      }
      // libcurl takes "name:" for a header to leave out, "name;" for an empty one.
      lines.push_back(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
    }
    for (const std::string& line : lines) {
      curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
      if (longer == nullptr) return Fail(Errc::kUnavailable, "out of memory");
      (void)headers_.release();
      headers_.reset(longer);
    }
    Set(CURLOPT_HTTPHEADER, headers_.get());
    return {};
  }

  void SetMethod() {
    switch (request_.method) {
      case Method::kGet: Set(CURLOPT_HTTPGET, 1L); return;
      case Method::kHead: Set(CURLOPT_NOBODY, 1L); return;
      case Method::kDelete: Set(CURLOPT_CUSTOMREQUEST, "DELETE"); return;
      case Method::kPut:
      case Method::kPost:
        // POST is the only method for which libcurl takes the body from memory, without a copy.
        Set(CURLOPT_POST, 1L);
        Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
        Set(CURLOPT_POSTFIELDS, request_.body.empty() ? "" : AsText(request_.body).data());
        if (request_.method == Method::kPut) Set(CURLOPT_CUSTOMREQUEST, "PUT");
        return;
    }
  }

  Error ErrorOf(CURLcode code) const {
    const char* const text = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
    const std::string url = request_.url.substr(0, request_.url.find('?'));
    if (too_long_) {
      return {Errc::kCorruption, fmt::format("{}: a longer answer than was asked for", url)};
    }
    if (answer_lost_) {
      return {Errc::kUnavailable, fmt::format("{}: the connection ended without an answer", url)};
    }
    return {CodeOf(code), fmt::format("{}: {}{}", url, text, CureOf(code))};
  }

  bool IsSuccess() const {
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
  }

  bool TakeBody(ByteView bytes) {
    if (!request_.body_out.empty() && IsSuccess()) {
      const MutableBytes rest = request_.body_out.subspan(response_.body_out_size);
      if (bytes.size() > rest.size()) return false;
      std::ranges::copy(bytes, rest.begin());
      response_.body_out_size += bytes.size();
      return true;
    }
    if (bytes.size() > request_.body_size_max - response_.body.size()) return false;
    response_.body.insert(response_.body.end(), bytes.begin(), bytes.end());
    return true;
  }

  void TakeHeader(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // after "100 Continue" another one follows
      response_.headers.clear();
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return;
    Header header{.name = std::string(line.substr(0, colon)), .value = {}};
    for (char& c : header.name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::string_view value = line.substr(colon + 1);
    constexpr std::string_view kBlanks = " \t\r\n";
    value.remove_prefix(std::min(value.find_first_not_of(kBlanks), value.size()));
    value = value.substr(0, value.find_last_not_of(kBlanks) + 1);
    header.value = value;
    response_.headers.push_back(std::move(header));
  }

  // libcurl sends a request again by itself if a kept connection ends without an answer. The first
  // one may have taken effect: the caller has to know.
  static int OnSend(void* self, char*, char*, int, int) {
    auto& transfer = *static_cast<Transfer*>(self);
    const Method method = transfer.request_.method;
    const bool harmless = method == Method::kGet || method == Method::kHead;
    if (++transfer.times_sent_ == 1 || harmless) return CURL_PREREQFUNC_OK;
    transfer.answer_lost_ = true;
    return CURL_PREREQFUNC_ABORT;
  }

  static std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.TakeBody(AsBytes({data, size * count}))) return size * count;
    transfer.too_long_ = true;
    return 0;
  }

  static std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* self) {
    static_cast<Transfer*>(self)->TakeHeader({data, size * count});
    return size * count;
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->request_.stop_requested() ? 1 : 0;
  }

  CURL* const handle_;
  const Request& request_;
  const CurlOptions& options_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  List headers_;
  Response response_;
  int times_sent_ = 0;
  bool answer_lost_ = false;
  bool too_long_ = false;
};

CurlClient::CurlClient(CurlOptions options)
    : options_(std::move(options)), pool_(std::make_unique<Pool>(options_.idle_handles_max)) {}

CurlClient::~CurlClient() = default;

Result<Response> CurlClient::Send(const Request& request) {
  Handle handle = pool_->Take();
  if (!handle) return Fail(Errc::kUnavailable, "out of memory");
  auto response = Transfer(handle.get(), request, options_).Run();
  pool_->GiveBack(std::move(handle));
  return response;
}

}  // namespace runnel::http
