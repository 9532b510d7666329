#include "http/curl_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "testing/result_matchers.h"
#include "testing/s3/http_server.h"

namespace runnel::http {
namespace {

using testing::HttpServer;
using testing::ServerRequest;
using testing::ServerResponse;
using Delivery = ServerResponse::Delivery;

std::string BodyOf(const Response& response) { return std::string(AsText(response.body)); }

TEST(CurlClientTest, SendsWhatItIsGivenAndNothingElse) {
  ServerRequest seen;
  HttpServer server([&](const ServerRequest& request) {
    seen = request;
    return ServerResponse{
        .status = 201, .headers = {{.name = "X-Odd", .value = "  a  b "}}, .body = "made"};
  });
  CurlClient client({.user_agent = "tests"});
  const std::string body = "some bytes";
  ASSERT_OK_AND_ASSIGN(const Response response,
                       client.Send({.method = Method::kPut,
                                    .url = server.url() + "/a/../b%2f/%21//c?z=1&a=%20",
                                    .headers = {{.name = "x-mine", .value = "v  w"},
                                                {.name = "x-empty", .value = ""}},
                                    .body = AsBytes(body)}));
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(BodyOf(response), "made");
  ASSERT_NE(FindHeader(response.headers, "x-odd"), nullptr);
  EXPECT_EQ(*FindHeader(response.headers, "x-odd"), "a  b");
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.path, "/a/../b%2f/%21//c");
  EXPECT_EQ(seen.query, "z=1&a=%20");
  EXPECT_EQ(AsText(seen.body), body);
  std::vector<std::string> names;
  for (const Header& header : seen.headers) names.push_back(header.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("host", "user-agent", "x-mine", "x-empty",
                                                     "content-length"));
  EXPECT_EQ(seen.header("x-mine"), "v  w");
}

TEST(CurlClientTest, KnowsEveryMethod) {
  HttpServer server([&](const ServerRequest& request) {
    return ServerResponse{.body = request.method + std::string(AsText(request.body))};
  });
  CurlClient client({});
  for (const Method method : {Method::kGet, Method::kPost, Method::kPut, Method::kDelete}) {
    ASSERT_OK_AND_ASSIGN(const Response response,
                         client.Send({.method = method, .url = server.url()}));
    EXPECT_TRUE(BodyOf(response).starts_with(MethodName(method))) << BodyOf(response);
  }
  ASSERT_OK_AND_ASSIGN(const Response head,
                       client.Send({.method = Method::kHead, .url = server.url()}));
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(head.body.empty());
  EXPECT_EQ(*FindHeader(head.headers, "content-length"), "4");
}

TEST(CurlClientTest, UsesAConnectionAgain) {
  HttpServer server([](const ServerRequest&) { return ServerResponse{.body = "x"}; });
  CurlClient client({});
  for (int i = 0; i < 20; ++i) ASSERT_OK(client.Send({.url = server.url()}));
  EXPECT_EQ(server.connections_made(), 1);
}

TEST(CurlClientTest, ManyThreadsShareAPool) {
  HttpServer server(
      [](const ServerRequest& request) { return ServerResponse{.body = "for " + request.query}; });
  CurlClient client({.idle_handles_max = 2});
  std::atomic<int> good = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string name = std::to_string(t * 100 + i);
        auto response = client.Send({.url = server.url() + "/?" + name});
        if (response && BodyOf(*response) == "for " + name) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 160);
}

TEST(CurlClientTest, PutsABodyWhereItIsWanted) {
  HttpServer server([](const ServerRequest& request) {
    return ServerResponse{.status = request.path == "/good" ? 206 : 404, .body = "0123456789"};
  });
  CurlClient client({});
  Bytes out(16);
  ASSERT_OK_AND_ASSIGN(const Response good,
                       client.Send({.url = server.url() + "/good", .body_out = out}));
  EXPECT_EQ(good.body_out_size, 10U);
  EXPECT_EQ(AsText(ByteView(out).first(10)), "0123456789");
  EXPECT_TRUE(good.body.empty());
  ASSERT_OK_AND_ASSIGN(const Response bad,
                       client.Send({.url = server.url() + "/bad", .body_out = out}));
  EXPECT_EQ(bad.body_out_size, 0U);
  EXPECT_EQ(BodyOf(bad), "0123456789");
}

TEST(CurlClientTest, RefusesMoreThanWasAskedFor) {
  HttpServer server([](const ServerRequest&) { return ServerResponse{.body = "0123456789"}; });
  CurlClient client({});
  Bytes out(9);
  EXPECT_FAILS(Errc::kCorruption, client.Send({.url = server.url(), .body_out = out}));
  EXPECT_FAILS(Errc::kCorruption, client.Send({.url = server.url(), .body_size_max = 9}));
  EXPECT_OK(client.Send({.url = server.url(), .body_size_max = 10}));
}

TEST(CurlClientTest, SaysWhatWentWrong) {
  std::atomic<int> calls = 0;
  HttpServer server([&](const ServerRequest& request) {
    ++calls;
    return ServerResponse{
        .body = "0123456789",
        .delivery = request.path == "/cut" ? Delivery::kCutBody : Delivery::kNothing};
  });
  CurlClient client({});
  EXPECT_FAILS(Errc::kUnavailable, client.Send({.url = server.url() + "/cut"}));
  EXPECT_FAILS(Errc::kUnavailable, client.Send({.url = server.url() + "/nothing"}));
  EXPECT_EQ(calls, 2);
  EXPECT_FAILS(Errc::kUnavailable, client.Send({.url = "http://127.0.0.1:1/"}));
  EXPECT_FAILS(Errc::kUnavailable, client.Send({.url = "http://no.such.host.invalid/"}));
  EXPECT_FAILS(Errc::kInvalidArgument, client.Send({.url = "file:///etc/hostname"}));
  EXPECT_FAILS(
      Errc::kInvalidArgument,
      client.Send({.url = server.url(), .headers = {{.name = "x-a", .value = "b\r\nx-evil: c"}}}));
  auto error = client.Send({.url = server.url() + "/nothing?secret=1"}).error();
  EXPECT_THAT(error.message(), ::testing::HasSubstr("/nothing: "));
  EXPECT_THAT(error.message(), ::testing::Not(::testing::HasSubstr("secret")));
}

// The first one may have taken effect.
TEST(CurlClientTest, DoesNotSendAWriteTwiceByItself) {
  std::atomic<int> writes = 0;
  HttpServer server([&](const ServerRequest& request) {
    if (request.method == "GET") return ServerResponse{.body = "x"};
    ++writes;
    return ServerResponse{.delivery = Delivery::kNothing};
  });
  CurlClient client({});
  for (const Method method : {Method::kPut, Method::kPost, Method::kDelete}) {
    writes = 0;
    ASSERT_OK(client.Send({.url = server.url()}));  // now there is a connection to use again
    EXPECT_FAILS(Errc::kUnavailable, client.Send({.method = method, .url = server.url()}));
    EXPECT_EQ(writes, 1) << MethodName(method);
  }
}

TEST(CurlClientTest, EndsWhenItIsToldTo) {
  std::atomic<bool> stop = false;
  HttpServer server([&](const ServerRequest&) {
    stop = true;
    return ServerResponse{.body = std::string(8 << 20, 'x')};
  });
  CurlClient client({});
  EXPECT_FAILS(Errc::kCancelled,
               client.Send({.url = server.url(), .stop_requested = [&] { return stop.load(); }}));
}

}  // namespace
}  // namespace runnel::http
