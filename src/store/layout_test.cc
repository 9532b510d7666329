#include "store/layout.h"

#include <gtest/gtest.h>

namespace runnel::store {
namespace {

constexpr TxidRange kRange{.min = Txid{1}, .max = Txid{0xABCDEF}};

TEST(LtxFileNameTest, IsTwoTxidsInLowerCaseHex) {
  EXPECT_EQ(LtxFileName(kRange), "0000000000000001-0000000000abcdef.ltx");
  EXPECT_EQ(ParseLtxFileName("0000000000000001-0000000000abcdef.ltx"), kRange);
  constexpr TxidRange kLast{.min = Txid{UINT64_MAX}, .max = Txid{UINT64_MAX}};
  EXPECT_EQ(ParseLtxFileName(LtxFileName(kLast)), kLast);
}

TEST(LtxFileNameTest, AnyOtherNameIsNotOurs) {
  for (const char* name :
       {"", ".ltx", "0000000000000001-0000000000abcdef",
        "0000000000000001-0000000000abcdef.ltx.tmp", "0000000000000001-0000000000abcdef.LTX",
        "0000000000000001_0000000000abcdef.ltx", "0000000000000001-0000000000ABCDEF.ltx",
        "000000000000001-00000000000abcdef.ltx", "0000000000000001-0000000000abcdeg.ltx",
        "x000000000000001-0000000000abcdef.ltx", "0000000000000001-0000000000abcdef.ltx/",
        " 000000000000001-0000000000abcdef.ltx"}) {
    EXPECT_EQ(ParseLtxFileName(name), std::nullopt) << name;
  }
  EXPECT_EQ(ParseLtxFileName("0000000000000002-0000000000000001.ltx"), std::nullopt) << "backwards";
  EXPECT_EQ(ParseLtxFileName("0000000000000000-0000000000000001.ltx"), std::nullopt) << "no txid 0";
}

TEST(ReplicaLayoutTest, TreeIsLitestreamsOfFiles) {
  const ReplicaLayout layout(LayoutKind::kTree, "backups/db");
  EXPECT_EQ(layout.LtxKey(kLevelCut, kRange).text(),
            "backups/db/ltx/0/0000000000000001-0000000000abcdef.ltx");
  EXPECT_EQ(layout.LevelPrefix(kLevelSnapshot), "backups/db/ltx/9/");
  EXPECT_EQ(layout.ClaimKey().text(), "backups/db/runnel/claim.json");
  EXPECT_EQ(layout.RunnelPrefix(), "backups/db/runnel/");
}

TEST(ReplicaLayoutTest, FlatIsLitestreamsOfS3) {
  const ReplicaLayout layout(LayoutKind::kFlat, "backups/db");
  EXPECT_EQ(layout.LtxKey(kLevelSnapshot, kRange).text(),
            "backups/db/0009/0000000000000001-0000000000abcdef.ltx");
  EXPECT_EQ(layout.LevelPrefix(Level{1}), "backups/db/0001/");
}

TEST(ReplicaLayoutTest, AnEmptyRootAddsNoSlash) {
  EXPECT_EQ(ReplicaLayout(LayoutKind::kTree, "").LevelPrefix(kLevelCut), "ltx/0/");
  EXPECT_EQ(ReplicaLayout(LayoutKind::kFlat, "").LevelPrefix(kLevelCut), "0000/");
  EXPECT_EQ(ReplicaLayout(LayoutKind::kTree, "").ClaimKey().text(), "runnel/claim.json");
}

}  // namespace
}  // namespace runnel::store
