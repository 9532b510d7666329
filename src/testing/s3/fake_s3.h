// An S3 of one bucket in memory, stricter than real ones, that can be told to misbehave.
//
// It refuses what AWS refuses: a wrong signature or time, a header that should be signed and is
// not, a payload that is not what its hash says, an unknown region, parts that are too small, a
// deletion of many without its checksum.

#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/uri.h"
#include "testing/s3/http_server.h"

namespace runnel::testing {

struct FakeS3Options {
  std::string bucket = "bucket";
  std::string region = "us-east-1";
  std::string access_key_id = "AKIAFAKE";
  std::string secret_access_key = "fake/secret+key";
  std::string session_token = {};  // what must be sent; empty: none may be
  enum class Conditions { kHeeded, kIgnored, kNotImplemented } conditions = Conditions::kHeeded;
  enum class Deletion { kMany, kOneByOne } deletion = Deletion::kMany;
  enum class EtagQuotes { kEither, kNone } if_match_quotes = EtagQuotes::kEither;
  std::size_t part_size_min = 5 << 20;
  std::size_t list_page_max = 1000;
};

// What happens to one request.
struct S3Fault {
  enum class Kind {
    kRefuse,     // with `status` and `code`; nothing is done
    kLoseReply,  // done, but the connection is closed without a word
    kDrop,       // not done, and the same
    kCutBody,    // half of the answer
    kLateError,  // status 200 with `code` in the body; nothing is done
  };
  Kind kind = Kind::kRefuse;
  int status = 503;
  std::string code = "SlowDown";
  http::Headers headers = {};
};

class FakeS3 {
 public:
  // `clock` is the server's, and must outlive it.
  FakeS3(FakeS3Options options, Clock& clock);

  std::string endpoint() const { return server_.url(); }
  HttpServer& server() { return server_; }

  // The `nth` request (from 1, counted from now) named `operation` ("PutObject"; "" for any) meets
  // `fault`.
  void FailAt(std::string operation, int nth, S3Fault fault);
  // All of them from now on; S3Fault kinds as above.
  void FailAll(std::string operation, S3Fault fault);
  void StopFailing();

  void SetSessionToken(std::string token);
  void SetRegion(std::string region);

  // Names of all operations that came, in order.
  std::vector<std::string> operations() const;
  int CountOf(const std::string& operation) const;
  void ForgetOperations();
  // The request that came last under that name.
  ServerRequest LastRequest(const std::string& operation) const;

  std::vector<std::string> keys() const;
  std::size_t open_uploads() const;

 private:
  struct Object {
    std::string body;
    std::string etag;
    std::string modified;  // as in Last-Modified
    std::string modified_8601;
    http::Headers kept;  // metadata and such, given back with GET and HEAD
    std::string customer_key_md5;
  };
  struct Upload {
    std::string key;
    http::Headers kept;
    std::string customer_key_md5;
    std::map<int, std::string> parts;
  };
  struct Plan {
    std::string operation;
    int left = 0;  // 0: every one
    S3Fault fault;
  };
  // A request, understood.
  struct Parsed {
    std::string key;  // empty: the bucket
    http::Query query;
    std::string operation;
    std::optional<std::string> parameter(std::string_view name) const;
  };

  ServerResponse Handle(const ServerRequest& request);
  // Nothing if the signature is right.
  std::optional<ServerResponse> Refuse(const ServerRequest& request) const;
  std::optional<Parsed> Understand(const ServerRequest& request) const;
  std::optional<S3Fault> TakeFault(const std::string& operation);
  ServerResponse Do(const ServerRequest& request, const Parsed& parsed);

  ServerResponse Put(const ServerRequest& request, const Parsed& parsed);
  ServerResponse Get(const ServerRequest& request, const Parsed& parsed) const;
  ServerResponse List(const Parsed& parsed) const;
  ServerResponse DeleteMany(const ServerRequest& request);
  ServerResponse StartUpload(const ServerRequest& request, const Parsed& parsed);
  ServerResponse PutPart(const ServerRequest& request, const Parsed& parsed);
  ServerResponse Complete(const ServerRequest& request, const Parsed& parsed);
  std::optional<ServerResponse> CheckConditions(const ServerRequest& request,
                                                const std::string& key) const;
  Object MakeObject(std::string body, std::string etag, http::Headers kept) const;

  const FakeS3Options options_;
  Clock& clock_;
  mutable std::mutex mutex_;  // guards what follows
  std::string session_token_;
  std::string region_;
  std::map<std::string, Object> objects_;
  std::map<std::string, Upload> uploads_;
  int uploads_made_ = 0;
  std::vector<Plan> plans_;
  std::vector<std::pair<std::string, ServerRequest>> requests_;
  HttpServer server_;  // last: its threads use all of the above
};

}  // namespace runnel::testing
