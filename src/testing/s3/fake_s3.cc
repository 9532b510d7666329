#include "testing/s3/fake_s3.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>

#include "store/s3/digest.h"
#include "testing/s3/fake_s3_answer.h"

namespace runnel::testing {
namespace {

using store::s3::Base64;
using store::s3::Hex;
using store::s3::Md5;

constexpr std::string_view kCustomerKey = "x-amz-server-side-encryption-customer-key";
constexpr std::string_view kCustomerKeyMd5 = "x-amz-server-side-encryption-customer-key-md5";

std::string Md5Hex(std::string_view text) { return Hex(Md5(AsBytes(text))); }

// What S3 gives back with an object.
http::Headers KeptHeaders(const ServerRequest& request) {
  http::Headers kept;
  for (const auto& header : request.headers) {
    if (header.name.starts_with("x-amz-meta-") || header.name == "content-type" ||
        header.name == "x-amz-storage-class" || header.name == "x-amz-server-side-encryption" ||
        header.name == "x-amz-server-side-encryption-aws-kms-key-id") {
      kept.push_back(header);
    }
  }
  return kept;
}

// The digest of the key, if the key is there and is what its digest says.
std::string CustomerKeyOf(const ServerRequest& request) {
  const auto key = store::s3::Base64Decode(request.header(kCustomerKey));
  const std::string md5 = request.header(kCustomerKeyMd5);
  return key && !md5.empty() && Base64(Md5(*key)) == md5 ? md5 : "";
}

std::string NameOf(const std::string& method, bool has_key, const http::Query& query) {
  const auto has = [&query](std::string_view name) {
    return std::ranges::find(query, name, &http::Query::value_type::first) != query.end();
  };
  if (!has_key) {
    if (method == "GET" && has("list-type")) return "ListObjectsV2";
    return method == "POST" && has("delete") ? "DeleteObjects" : "";
  }
  if (method == "PUT") return has("partNumber") ? "UploadPart" : "PutObject";
  if (method == "GET") return "GetObject";
  if (method == "HEAD") return "HeadObject";
  if (method == "DELETE") return has("uploadId") ? "AbortMultipartUpload" : "DeleteObject";
  if (method == "POST" && has("uploads")) return "CreateMultipartUpload";
  return method == "POST" && has("uploadId") ? "CompleteMultipartUpload" : "";
}

}  // namespace

FakeS3::FakeS3(FakeS3Options options, Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      session_token_(options_.session_token),
      region_(options_.region),
      server_([this](const ServerRequest& request) { return Handle(request); }) {}

void FakeS3::FailAt(std::string operation, int nth, S3Fault fault) {
  const std::lock_guard lock(mutex_);
  plans_.push_back({.operation = std::move(operation), .left = nth, .fault = std::move(fault)});
}

void FakeS3::FailAll(std::string operation, S3Fault fault) {
  FailAt(std::move(operation), 0, std::move(fault));
}

void FakeS3::StopFailing() {
  const std::lock_guard lock(mutex_);
  plans_.clear();
}

void FakeS3::SetSessionToken(std::string token) {
  const std::lock_guard lock(mutex_);
  session_token_ = std::move(token);
}

void FakeS3::SetRegion(std::string region) {
  const std::lock_guard lock(mutex_);
  region_ = std::move(region);
}

std::vector<std::string> FakeS3::operations() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, _] : requests_) names.push_back(name);
  return names;
}

int FakeS3::CountOf(const std::string& operation) const {
  const auto names = operations();
  return static_cast<int>(std::ranges::count(names, operation));
}

void FakeS3::ForgetOperations() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
}

ServerRequest FakeS3::LastRequest(const std::string& operation) const {
  const std::lock_guard lock(mutex_);
  for (auto entry = requests_.rbegin(); entry != requests_.rend(); ++entry) {
    if (entry->first == operation) return entry->second;
  }
  return {};
}

std::vector<std::string> FakeS3::keys() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, _] : objects_) keys.push_back(key);
  return keys;
}

std::size_t FakeS3::open_uploads() const {
  const std::lock_guard lock(mutex_);
  return uploads_.size();
}

std::optional<std::string> FakeS3::Parsed::parameter(std::string_view name) const {
  for (const auto& [key_name, value] : query) {
    if (key_name == name) return value;
  }
  return std::nullopt;
}

std::optional<S3Fault> FakeS3::TakeFault(const std::string& operation) {
  std::optional<S3Fault> fault;
  for (auto plan = plans_.begin(); plan != plans_.end();) {
    const bool is_meant = plan->operation.empty() || plan->operation == operation;
    const bool is_now = is_meant && (plan->left == 0 || plan->left == 1);
    if (is_now && !fault) fault = plan->fault;
    if (is_meant && plan->left > 1) --plan->left;
    plan = is_now && plan->left == 1 ? plans_.erase(plan) : plan + 1;
  }
  return fault;
}

// Path style, or the bucket as the first label of the host.
std::optional<FakeS3::Parsed> FakeS3::Understand(const ServerRequest& request) const {
  const auto path = http::PercentDecode(request.path);
  auto query = http::ParseQuery(request.query);
  if (!path || !query) return std::nullopt;
  Parsed parsed{.key = {}, .query = *std::move(query), .operation = {}};
  const std::string start = "/" + options_.bucket;
  if (request.header("host").starts_with(options_.bucket + ".")) {
    parsed.key = path->substr(1);
  } else if (*path == start || path->starts_with(start + "/")) {
    parsed.key = path->substr(std::min(start.size() + 1, path->size()));
  } else {
    return std::nullopt;
  }
  parsed.operation = NameOf(request.method, !parsed.key.empty(), parsed.query);
  return parsed;
}

ServerResponse FakeS3::Handle(const ServerRequest& request) {
  using Kind = S3Fault::Kind;
  const std::lock_guard lock(mutex_);
  const auto parsed = Understand(request);
  if (!parsed) return ErrorAnswer(404, "NoSuchBucket");
  requests_.emplace_back(parsed->operation, request);
  const auto fault = TakeFault(parsed->operation);
  if (fault && fault->kind == Kind::kDrop) {
    return {.delivery = ServerResponse::Delivery::kNothing};
  }
  if (fault && (fault->kind == Kind::kRefuse || fault->kind == Kind::kLateError)) {
    auto answer = ErrorAnswer(fault->kind == Kind::kRefuse ? fault->status : 200, fault->code);
    answer.headers.insert(answer.headers.end(), fault->headers.begin(), fault->headers.end());
    return answer;
  }
  if (auto refused = Refuse(request)) return *std::move(refused);
  ServerResponse response = Do(request, *parsed);
  if (fault) {
    response.delivery = fault->kind == Kind::kCutBody ? ServerResponse::Delivery::kCutBody
                                                      : ServerResponse::Delivery::kNothing;
  }
  return response;
}

ServerResponse FakeS3::Do(const ServerRequest& request, const Parsed& parsed) {
  const std::string& operation = parsed.operation;
  if (operation == "PutObject") return Put(request, parsed);
  if (operation == "GetObject" || operation == "HeadObject") return Get(request, parsed);
  if (operation == "ListObjectsV2") return List(parsed);
  if (operation == "DeleteObjects") return DeleteMany(request);
  if (operation == "CreateMultipartUpload") return StartUpload(request, parsed);
  if (operation == "UploadPart") return PutPart(request, parsed);
  if (operation == "CompleteMultipartUpload") return Complete(request, parsed);
  if (operation == "DeleteObject") {
    objects_.erase(parsed.key);
    return {.status = 204};
  }
  if (operation == "AbortMultipartUpload") {
    const bool was_there = uploads_.erase(*parsed.parameter("uploadId")) == 1;
    return was_there ? ServerResponse{.status = 204} : ErrorAnswer(404, "NoSuchUpload");
  }
  return ErrorAnswer(405, "MethodNotAllowed");
}

std::optional<ServerResponse> FakeS3::CheckConditions(const ServerRequest& request,
                                                      const std::string& key) const {
  using Conditions = FakeS3Options::Conditions;
  const std::string absent = request.header("if-none-match");
  std::string match = request.header("if-match");
  if (absent.empty() && match.empty()) return std::nullopt;
  if (options_.conditions == Conditions::kIgnored) return std::nullopt;
  if (options_.conditions == Conditions::kNotImplemented) return ErrorAnswer(501, "NotImplemented");
  const auto object = objects_.find(key);
  if (!absent.empty()) {
    if (absent != "*") return ErrorAnswer(501, "NotImplemented");
    if (object != objects_.end()) return ErrorAnswer(412, "PreconditionFailed");
    return std::nullopt;
  }
  if (object == objects_.end()) return ErrorAnswer(404, "NoSuchKey");
  if (options_.if_match_quotes == FakeS3Options::EtagQuotes::kEither && match.starts_with('"')) {
    match = match.substr(1, match.size() - 2);
  }
  if (match != object->second.etag) return ErrorAnswer(412, "PreconditionFailed");
  return std::nullopt;
}

FakeS3::Object FakeS3::MakeObject(std::string body, std::string etag, http::Headers kept) const {
  return {.body = std::move(body),
          .etag = std::move(etag),
          .modified = HttpDate(clock_.Now()),
          .modified_8601 = Iso8601(clock_.Now()),
          .kept = std::move(kept),
          .customer_key_md5 = {}};
}

ServerResponse FakeS3::Put(const ServerRequest& request, const Parsed& parsed) {
  if (auto refused = CheckConditions(request, parsed.key)) return *std::move(refused);
  std::string body(AsText(request.body));
  const std::string etag = Md5Hex(body);
  Object object = MakeObject(std::move(body), etag, KeptHeaders(request));
  object.customer_key_md5 = CustomerKeyOf(request);
  if (!request.header(kCustomerKey).empty() && object.customer_key_md5.empty()) {
    return ErrorAnswer(400, "InvalidArgument");
  }
  objects_[parsed.key] = std::move(object);
  return {.headers = {{.name = "etag", .value = "\"" + etag + "\""}}};
}

ServerResponse FakeS3::Get(const ServerRequest& request, const Parsed& parsed) const {
  const auto found = objects_.find(parsed.key);
  if (found == objects_.end()) return ErrorAnswer(404, "NoSuchKey");
  const Object& object = found->second;
  if (CustomerKeyOf(request) != object.customer_key_md5) return ErrorAnswer(400, "InvalidRequest");
  ServerResponse response{.headers = object.kept};
  response.headers.push_back({.name = "etag", .value = "\"" + object.etag + "\""});
  response.headers.push_back({.name = "last-modified", .value = object.modified});
  if (request.method == "HEAD") {
    response.headers.push_back(
        {.name = "content-length", .value = std::to_string(object.body.size())});
    return response;
  }
  unsigned long long first = 0;
  unsigned long long last = 0;
  const std::string range = request.header("range");
  if (range.empty() || std::sscanf(range.c_str(), "bytes=%llu-%llu", &first, &last) != 2) {
    response.body = object.body;
    return response;
  }
  if (first >= object.body.size()) return ErrorAnswer(416, "InvalidRange");
  response.status = 206;
  response.body = object.body.substr(first, last - first + 1);
  response.headers.push_back(
      {.name = "content-range",
       .value = fmt::format("bytes {}-{}/{}", first, first + response.body.size() - 1,
                            object.body.size())});
  return response;
}

ServerResponse FakeS3::List(const Parsed& parsed) const {
  const std::string prefix = parsed.parameter("prefix").value_or("");
  const auto token = parsed.parameter("continuation-token");
  const std::string after = token ? *token : parsed.parameter("start-after").value_or("");
  const auto wanted =
      static_cast<std::size_t>(std::stoul(parsed.parameter("max-keys").value_or("1000")));
  const std::size_t limit = std::min(wanted, options_.list_page_max);
  const bool encode = parsed.parameter("encoding-type") == "url";
  std::string body =
      "<?xml version=\"1.0\"?><ListBucketResult "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  if (encode) body += "<EncodingType>url</EncodingType>";
  std::size_t count = 0;
  std::string last;
  bool truncated = false;
  for (const auto& [key, object] : objects_) {
    if (!key.starts_with(prefix) || key <= after) continue;
    if (count == limit) {
      truncated = true;
      break;
    }
    ++count;
    last = key;
    body += fmt::format(
        "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>"
        "<Size>{}</Size></Contents>",
        encode ? http::PercentEncode(key, http::Slash::kKeep) : XmlEscaped(key),
        object.modified_8601, object.etag, object.body.size());
  }
  body += fmt::format("<IsTruncated>{}</IsTruncated>", truncated);
  if (truncated) {
    body += "<NextContinuationToken>" + XmlEscaped(last) + "</NextContinuationToken>";
  }
  return {.body = body + "</ListBucketResult>"};
}

ServerResponse FakeS3::DeleteMany(const ServerRequest& request) {
  if (options_.deletion == FakeS3Options::Deletion::kOneByOne) {
    return ErrorAnswer(501, "NotImplemented");
  }
  if (request.header("content-md5") != Base64(Md5(request.body))) {
    return ErrorAnswer(400, "InvalidDigest");
  }
  pugi::xml_document document;
  if (!document.load_buffer(request.body.data(), request.body.size())) {
    return ErrorAnswer(400, "MalformedXML");
  }
  std::string body = "<DeleteResult>";
  std::size_t count = 0;
  for (const auto& node : document.child("Delete").children("Object")) {
    const std::string key = node.child_value("Key");
    objects_.erase(key);
    body += "<Deleted><Key>" + XmlEscaped(key) + "</Key></Deleted>";
    ++count;
  }
  if (count == 0 || count > 1000) return ErrorAnswer(400, "MalformedXML");
  return {.body = body + "</DeleteResult>"};
}

ServerResponse FakeS3::StartUpload(const ServerRequest& request, const Parsed& parsed) {
  const std::string id = fmt::format("upload+{}/=", ++uploads_made_);  // must be encoded
  uploads_[id] = {.key = parsed.key,
                  .kept = KeptHeaders(request),
                  .customer_key_md5 = CustomerKeyOf(request),
                  .parts = {}};
  return {.body = "<InitiateMultipartUploadResult><UploadId>" + id +
                  "</UploadId></InitiateMultipartUploadResult>"};
}

ServerResponse FakeS3::PutPart(const ServerRequest& request, const Parsed& parsed) {
  const auto upload = uploads_.find(*parsed.parameter("uploadId"));
  if (upload == uploads_.end()) return ErrorAnswer(404, "NoSuchUpload");
  if (CustomerKeyOf(request) != upload->second.customer_key_md5) {
    return ErrorAnswer(400, "InvalidRequest");
  }
  const int number = std::stoi(*parsed.parameter("partNumber"));
  if (number < 1 || number > 10'000) return ErrorAnswer(400, "InvalidArgument");
  upload->second.parts[number] = std::string(AsText(request.body));
  return {
      .headers = {{.name = "etag", .value = "\"" + Md5Hex(upload->second.parts[number]) + "\""}}};
}

ServerResponse FakeS3::Complete(const ServerRequest& request, const Parsed& parsed) {
  const auto found = uploads_.find(*parsed.parameter("uploadId"));
  if (found == uploads_.end() || found->second.key != parsed.key) {
    return ErrorAnswer(404, "NoSuchUpload");
  }
  if (auto refused = CheckConditions(request, parsed.key)) return *std::move(refused);
  Upload& upload = found->second;
  pugi::xml_document document;
  if (!document.load_buffer(request.body.data(), request.body.size())) {
    return ErrorAnswer(400, "MalformedXML");
  }
  std::string body;
  std::string digests;
  int before = 0;
  bool last_was_small = false;
  for (const auto& node : document.child("CompleteMultipartUpload").children("Part")) {
    const int number = node.child("PartNumber").text().as_int();
    const auto part = upload.parts.find(number);
    if (part == upload.parts.end() ||
        node.child_value("ETag") != "\"" + Md5Hex(part->second) + "\"") {
      return ErrorAnswer(400, "InvalidPart");
    }
    if (number <= before) return ErrorAnswer(400, "InvalidPartOrder");
    if (last_was_small) return ErrorAnswer(400, "EntityTooSmall");
    before = number;
    last_was_small = part->second.size() < options_.part_size_min;
    const auto digest = Md5(AsBytes(part->second));
    digests += AsText(digest);
    body += part->second;
  }
  if (before == 0) return ErrorAnswer(400, "MalformedXML");
  const std::string etag = fmt::format("{}-{}", Md5Hex(digests), before);
  Object object = MakeObject(std::move(body), etag, std::move(upload.kept));
  object.customer_key_md5 = upload.customer_key_md5;
  objects_[parsed.key] = std::move(object);
  uploads_.erase(found);
  return {.body = "<CompleteMultipartUploadResult><ETag>&quot;" + etag +
                  "&quot;</ETag></CompleteMultipartUploadResult>"};
}

}  // namespace runnel::testing
