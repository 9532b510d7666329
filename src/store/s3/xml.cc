#include "store/s3/xml.h"

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>
#include <sstream>

#include "http/uri.h"

namespace runnel::store::s3 {
namespace {

// The element `root` of `xml`, in whatever name space.
class Document {
 public:
  Document(ByteView xml, const char* root) {
    const auto parsed =
        document_.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
    if (parsed) root_ = document_.child(root);
  }
  explicit operator bool() const { return static_cast<bool>(root_); }
  const pugi::xml_node& root() const { return root_; }

 private:
  pugi::xml_document document_;
  pugi::xml_node root_;
};

std::string TextOf(const pugi::xml_node& parent, const char* name) {
  return parent.child_value(name);
}

std::optional<std::uint64_t> NumberOf(const pugi::xml_node& parent, const char* name) {
  const std::string_view text = parent.child_value(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// encoding-type=url writes a space as '+' or as %20, and '+' always as %2B.
std::optional<std::string> DecodeListed(std::string key) {
  std::ranges::replace(key, '+', ' ');
  return http::PercentDecode(key);
}

std::string ToText(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str();
}

}  // namespace

std::optional<ErrorBody> ParseError(ByteView xml) {
  for (const char* root : {"Error", "ErrorResponse"}) {  // of S3, of STS
    const Document document(xml, root);
    if (!document) continue;
    const pugi::xml_node error = document.root().child("Error");
    const pugi::xml_node& node = error ? error : document.root();
    return ErrorBody{.code = TextOf(node, "Code"),
                     .message = TextOf(node, "Message"),
                     .region = TextOf(node, "Region"),
                     .request_id = TextOf(document.root(), "RequestId")};
  }
  return std::nullopt;
}

std::optional<ListResult> ParseList(ByteView xml) {
  const Document document(xml, "ListBucketResult");
  if (!document) return std::nullopt;
  const bool is_encoded = TextOf(document.root(), "EncodingType") == "url";
  ListResult result;
  result.is_truncated = TextOf(document.root(), "IsTruncated") == "true";
  result.next_token = TextOf(document.root(), "NextContinuationToken");
  for (const pugi::xml_node& node : document.root().children("Contents")) {
    ListedObject object{.key = TextOf(node, "Key"),
                        .size_bytes = 0,
                        .etag = Unquoted(node.child_value("ETag")),
                        .last_modified = TextOf(node, "LastModified")};
    if (is_encoded) {
      auto key = DecodeListed(std::move(object.key));
      if (!key) return std::nullopt;
      object.key = *std::move(key);
    }
    const auto size = NumberOf(node, "Size");
    if (!size) return std::nullopt;
    object.size_bytes = *size;
    result.objects.push_back(std::move(object));
  }
  return result;
}

std::optional<std::string> ParseUploadId(ByteView xml) {
  const Document document(xml, "InitiateMultipartUploadResult");
  std::string id = document ? TextOf(document.root(), "UploadId") : "";
  return id.empty() ? std::nullopt : std::optional(std::move(id));
}

std::optional<std::string> ParseCompletedEtag(ByteView xml) {
  const Document document(xml, "CompleteMultipartUploadResult");
  if (!document) return std::nullopt;
  return Unquoted(document.root().child_value("ETag"));
}

std::optional<DeleteResult> ParseDelete(ByteView xml) {
  const Document document(xml, "DeleteResult");
  if (!document) return std::nullopt;
  DeleteResult result;
  for (const pugi::xml_node& node : document.root().children("Deleted")) {
    result.deleted.push_back(TextOf(node, "Key"));
  }
  for (const pugi::xml_node& node : document.root().children("Error")) {
    result.failed.push_back({.key = TextOf(node, "Key"),
                             .code = TextOf(node, "Code"),
                             .message = TextOf(node, "Message")});
  }
  return result;
}

std::optional<StsCredentials> ParseSts(ByteView xml) {
  for (const char* action : {"AssumeRole", "AssumeRoleWithWebIdentity"}) {
    const Document document(xml, (std::string(action) + "Response").c_str());
    if (!document) continue;
    const pugi::xml_node node =
        document.root().child((std::string(action) + "Result").c_str()).child("Credentials");
    StsCredentials credentials{.access_key_id = TextOf(node, "AccessKeyId"),
                               .secret_access_key = TextOf(node, "SecretAccessKey"),
                               .session_token = TextOf(node, "SessionToken"),
                               .expiration = TextOf(node, "Expiration")};
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) break;
    return credentials;
  }
  return std::nullopt;
}

std::string MakeDelete(std::span<const std::string> keys) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("Delete");
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  for (const std::string& key : keys) {
    root.append_child("Object").append_child("Key").text() = key.c_str();
  }
  return ToText(document);
}

std::string MakeComplete(std::span<const std::string> etags) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  for (std::size_t i = 0; i < etags.size(); ++i) {
    pugi::xml_node part = root.append_child("Part");
    part.append_child("PartNumber").text() = static_cast<unsigned>(i + 1);
    part.append_child("ETag").text() = ("\"" + etags[i] + "\"").c_str();
  }
  return ToText(document);
}

bool FitsXml(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
}

std::string Unquoted(std::string_view etag) {
  if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"')) {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

}  // namespace runnel::store::s3
