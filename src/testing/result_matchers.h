// gtest's words for Result. ASSERT_OK_AND_ASSIGN(auto file, fs.Open(path)) declares `file` or ends
// the test.

#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/result.h"

namespace runnel::testing {

template <class T>
::testing::AssertionResult IsOk(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << ErrcName(result.error().code()) << ": " << result.error().message();
}

template <class T>
::testing::AssertionResult FailsWith(const Result<T>& result, Errc code) {
  if (result) return ::testing::AssertionFailure() << "succeeded";
  if (result.error().code() == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << ErrcName(result.error().code()) << ": " << result.error().message();
}

}  // namespace runnel::testing

#define ASSERT_OK(...) ASSERT_TRUE(::runnel::testing::IsOk(__VA_ARGS__))
#define EXPECT_OK(...) EXPECT_TRUE(::runnel::testing::IsOk(__VA_ARGS__))
#define ASSERT_FAILS(code, ...) ASSERT_TRUE(::runnel::testing::FailsWith((__VA_ARGS__), code))
#define EXPECT_FAILS(code, ...) EXPECT_TRUE(::runnel::testing::FailsWith((__VA_ARGS__), code))
#define ASSERT_OK_AND_ASSIGN(declaration, ...) \
  ASSERT_OK_AND_ASSIGN_INNER_(RUNNEL_CONCAT_(runnel_result_, __LINE__), declaration, __VA_ARGS__)
#define ASSERT_OK_AND_ASSIGN_INNER_(result, declaration, ...) \
  auto result = (__VA_ARGS__);                                \
  ASSERT_TRUE(::runnel::testing::IsOk(result));               \
  declaration = *::std::move(result)
