// What FakeS3 says, in the forms of S3.

#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "testing/s3/http_server.h"

namespace runnel::testing {

ServerResponse ErrorAnswer(int status, const std::string& code, const std::string& more = "");

std::string XmlEscaped(const std::string& text);

std::string HttpDate(WallTime time);                            // "Fri, 24 May 2013 00:00:00 GMT"
std::string Iso8601(WallTime time);                             // "2013-05-24T00:00:00.000Z"
std::optional<WallTime> ParseAmzDate(const std::string& text);  // "20130524T000000Z"

}  // namespace runnel::testing
