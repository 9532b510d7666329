#include "ltx/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::BtreePage;
using testing::Decode;
using testing::DecodedFile;
using testing::Encode;
using testing::IncrementalHeader;
using testing::PageMap;
using testing::RawFile;
using testing::SnapshotHeader;
using testing::SumOf;

constexpr std::uint32_t kPageSize = 512;

Bytes Fill(char c) { return Bytes(kPageSize, static_cast<std::byte>(c)); }

struct Merged {
  DecodedFile file;
  MergeResult result;
};

Result<Merged> MergeFiles(const std::vector<Bytes>& files, MergeOptions options = {}) {
  std::vector<SpanSource> sources(files.begin(), files.end());
  std::vector<ByteSource*> inputs;
  for (SpanSource& source : sources) inputs.push_back(&source);
  VectorSink sink;
  RUNNEL_TRY(const MergeResult result, Merge(inputs, sink, std::move(options)));
  EXPECT_EQ(result.size_bytes, sink.bytes().size());
  RUNNEL_TRY(DecodedFile file, Decode(sink.bytes()));
  EXPECT_EQ(result.header, file.header);
  EXPECT_EQ(result.trailer, file.trailer);
  return Merged{.file = std::move(file), .result = result};
}

std::string ErrorOf(const Result<Merged>& merged, Errc code) {
  if (merged) return "(none)";
  EXPECT_EQ(merged.error().code(), code) << merged.error().message();
  return merged.error().message();
}

Bytes Incremental(std::uint64_t txid, std::uint32_t commit, const PageMap& pages,
                  std::optional<Chain> chain = std::nullopt) {
  Header header = IncrementalHeader(kPageSize, commit, txid);
  header.chain = chain;
  return Encode(header, pages).value();
}

Chain Links(std::uint64_t before, std::uint64_t after) {
  return {.before = DatabaseChecksum{before}, .after = DatabaseChecksum{after}};
}

TEST(MergeTest, NewestInputWinsAndTheLastOneGivesSizeAndTime) {
  Header first = IncrementalHeader(kPageSize, 9, 4);
  first.wal = {.offset_bytes = 32, .size_bytes = 1, .salt1 = 2, .salt2 = 3};
  first.node_id = 4;
  const std::vector<Bytes> files{
      Encode(first, {{PageNo{2}, Fill('a')}, {PageNo{9}, Fill('b')}, {PageNo{3}, Fill('c')}})
          .value(),
      Incremental(5, 8, {{PageNo{3}, Fill('d')}}),
      Incremental(6, 8, {{PageNo{1}, Fill('e')}, {PageNo{3}, Fill('f')}})};
  const auto merged = MergeFiles(files);
  ASSERT_TRUE(merged) << merged.error().message();
  EXPECT_EQ(merged->file.pages,
            (PageMap{{PageNo{1}, Fill('e')}, {PageNo{2}, Fill('a')}, {PageNo{3}, Fill('f')}}));
  Header expected = IncrementalHeader(kPageSize, 8, 6);
  expected.min_txid = Txid{4};
  EXPECT_EQ(merged->file.header, expected);
}

TEST(MergeTest, RefusesInputsThatDoNotContinueEachOther) {
  const auto file = [](std::uint64_t min, std::uint64_t max, std::uint32_t page_size = kPageSize) {
    Header header = IncrementalHeader(page_size, 5, max);
    header.min_txid = Txid{min};
    return Encode(header, {}).value();
  };
  using ::testing::HasSubstr;
  const Errc code = Errc::kInvalidArgument;
  EXPECT_EQ(ErrorOf(MergeFiles({file(2, 5), file(6, 9)}), code), "(none)");
  EXPECT_EQ(ErrorOf(MergeFiles({file(2, 5), file(4, 9)}), code), "(none)") << "overlap is fine";
  EXPECT_THAT(ErrorOf(MergeFiles({file(2, 5), file(7, 9)}), code),
              HasSubstr("0000000000000007-0000000000000009 does not continue"));
  EXPECT_THAT(ErrorOf(MergeFiles({file(2, 5), file(3, 5)}), code), HasSubstr("does not continue"));
  EXPECT_THAT(ErrorOf(MergeFiles({file(2, 5), file(6, 9, 1024)}), code),
              HasSubstr("pages of 1024 bytes"));
  EXPECT_THAT(ErrorOf(MergeFiles({}), code), HasSubstr("nothing to merge"));
}

// One block of nothing but literals, as no compressor would make it of a page of one byte.
TEST(MergeTest, PagesOfTheSameEncodingAreCopiedAsTheyAre) {
  const Bytes page = Fill('a');
  Bytes block{std::byte{0xf0}, std::byte{0xff}, std::byte{kPageSize - 15 - 255}};
  block.insert(block.end(), page.begin(), page.end());
  const auto size = static_cast<std::uint32_t>(block.size());
  RawFile raw(IncrementalHeader(kPageSize, 9, 4));
  raw.Frame(3, 1, block, size, page);
  const Bytes file = raw.Finish();

  const auto copied = MergeFiles({file});
  ASSERT_TRUE(copied) << copied.error().message();
  EXPECT_EQ(copied->file.pages, (PageMap{{PageNo{3}, page}}));
  EXPECT_EQ(copied->file.index, raw.index());

  MergeOptions options;
  options.encoder.encoding = PageEncoding::kFrame;
  const auto recoded = MergeFiles({file}, std::move(options));
  ASSERT_TRUE(recoded) << recoded.error().message();
  EXPECT_EQ(recoded->file.pages, (PageMap{{PageNo{3}, page}}));
  ASSERT_EQ(recoded->file.index.size(), 1U);
  EXPECT_LT(recoded->file.index[0].size_bytes, size);
}

TEST(MergeTest, ChainRunsFromTheFirstInputToTheLast) {
  const auto merged =
      MergeFiles({Incremental(4, 9, {}, Links(10, 20)), Incremental(5, 9, {}, Links(20, 30)),
                  Incremental(6, 9, {}, Links(30, 40))});
  ASSERT_TRUE(merged);
  EXPECT_EQ(merged->file.header.chain, Links(10, 40));
}

TEST(MergeTest, ChainIsUnknownWhereAnInputHasNone) {
  const auto merged = MergeFiles({Incremental(4, 9, {}, Links(10, 20)), Incremental(5, 9, {}),
                                  Incremental(6, 9, {}, Links(30, 40))});
  ASSERT_TRUE(merged);
  EXPECT_FALSE(merged->file.header.chain);
}

TEST(MergeTest, BrokenChainNamesTheTxid) {
  const auto merged = MergeFiles({Incremental(4, 9, {}), Incremental(5, 9, {}, Links(20, 30)),
                                  Incremental(6, 9, {}, Links(31, 40))});
  EXPECT_THAT(ErrorOf(merged, Errc::kCorruption),
              ::testing::HasSubstr("breaks at txid 0000000000000006"));
}

TEST(MergeTest, FullCopyFollowsAnything) {
  const PageMap copy{{PageNo{1}, Fill('c')}, {PageNo{2}, Fill('d')}};
  const PageMap last{{PageNo{1}, Fill('c')}, {PageNo{2}, Fill('e')}};
  const Bytes older =
      Incremental(3, 3, {{PageNo{2}, Fill('a')}, {PageNo{3}, Fill('b')}}, Links(7, 8));
  const Bytes full = Incremental(4, 2, copy, Chain{.before = {}, .after = SumOf(copy)});
  const Bytes newer = Incremental(5, 2, {{PageNo{2}, Fill('e')}},
                                  Chain{.before = SumOf(copy), .after = SumOf(last)});
  const auto merged = MergeFiles({older, full, newer});
  ASSERT_TRUE(merged) << merged.error().message();
  EXPECT_EQ(merged->file.header.chain,
            (Chain{.before = DatabaseChecksum{7}, .after = SumOf(last)}));
  EXPECT_EQ(merged->file.pages, last);

  const auto from_the_copy = MergeFiles({full, newer});
  ASSERT_TRUE(from_the_copy) << from_the_copy.error().message();
  EXPECT_TRUE(from_the_copy->file.header.HoldsAllPages());

  const Bytes misses_a_page = Incremental(5, 4, {{PageNo{4}, Fill('e')}},
                                          Chain{.before = SumOf(copy), .after = SumOf(last)});
  EXPECT_THAT(ErrorOf(MergeFiles({full, misses_a_page}), Errc::kCorruption),
              ::testing::HasSubstr("page 3 of 0000000000000004-0000000000000005 is in none"));
}

TEST(MergeTest, OverlapGivesNoChainBelowASnapshot) {
  Header wide = IncrementalHeader(kPageSize, 9, 6);
  wide.min_txid = Txid{4};
  wide.chain = Links(10, 40);
  const auto merged = MergeFiles({Encode(wide, {}).value(), [] {
                                    Header late = IncrementalHeader(kPageSize, 9, 8);
                                    late.min_txid = Txid{6};
                                    late.chain = Links(30, 60);
                                    return Encode(late, {}).value();
                                  }()});
  ASSERT_TRUE(merged) << merged.error().message();
  EXPECT_FALSE(merged->file.header.chain);
}

struct Snapshots {
  PageMap first{{PageNo{1}, Fill('a')}, {PageNo{2}, Fill('b')}};
  PageMap last{{PageNo{1}, Fill('a')}, {PageNo{2}, Fill('c')}, {PageNo{3}, Fill('d')}};

  Bytes FirstFile(bool tagged) const {
    Header header = SnapshotHeader(kPageSize, 2, 1);
    if (tagged) header.chain = Chain{.before = {}, .after = SumOf(first)};
    return Encode(header, first).value();
  }
  Bytes SecondFile(bool tagged, PageMap pages) const {
    std::optional<Chain> chain;
    if (tagged) chain = Chain{.before = SumOf(first), .after = SumOf(last)};
    return Incremental(2, 3, pages, chain);
  }
  PageMap Change() const { return {{PageNo{2}, Fill('c')}, {PageNo{3}, Fill('d')}}; }
};

TEST(MergeTest, SnapshotIsProvenByItsPages) {
  const Snapshots s;
  const auto merged = MergeFiles({s.FirstFile(true), s.SecondFile(true, s.Change())});
  ASSERT_TRUE(merged) << merged.error().message();
  EXPECT_EQ(merged->file.pages, s.last);
  EXPECT_EQ(merged->file.header.chain, (Chain{.before = {}, .after = SumOf(s.last)}));

  PageMap lacks_a_change = s.Change();
  lacks_a_change.erase(PageNo{2});
  EXPECT_THAT(ErrorOf(MergeFiles({s.FirstFile(true), s.SecondFile(true, lacks_a_change)}),
                      Errc::kCorruption),
              ::testing::HasSubstr("add up to"));
}

TEST(MergeTest, SnapshotChecksumReplacesTheChainAndIsProven) {
  const Snapshots s;
  for (const bool tagged : {false, true}) {
    MergeOptions right;
    right.snapshot_checksum = SumOf(s.last);
    const auto merged =
        MergeFiles({s.FirstFile(false), s.SecondFile(tagged, s.Change())}, std::move(right));
    ASSERT_TRUE(merged) << merged.error().message();
    EXPECT_EQ(merged->file.header.chain, (Chain{.before = {}, .after = SumOf(s.last)}));

    MergeOptions wrong;
    wrong.snapshot_checksum = SumOf(s.first);
    EXPECT_THAT(ErrorOf(MergeFiles({s.FirstFile(false), s.SecondFile(tagged, s.Change())},
                                   std::move(wrong)),
                        Errc::kCorruption),
                ::testing::HasSubstr("add up to"));
  }
  MergeOptions not_a_snapshot;
  not_a_snapshot.snapshot_checksum = DatabaseChecksum{1};
  EXPECT_THAT(ErrorOf(MergeFiles({Incremental(4, 9, {})}, std::move(not_a_snapshot)),
                      Errc::kInvalidArgument),
              ::testing::HasSubstr("begins at txid 1"));
}

TEST(MergeTest, GapInASnapshotNamesThePage) {
  const Snapshots s;
  const auto inner = MergeFiles({s.FirstFile(false), Incremental(2, 4, {{PageNo{4}, Fill('x')}})});
  EXPECT_THAT(ErrorOf(inner, Errc::kCorruption),
              ::testing::HasSubstr("page 3 of 0000000000000001-0000000000000002 is in none"));
  const auto last = MergeFiles({s.FirstFile(false), Incremental(2, 3, {})});
  EXPECT_THAT(ErrorOf(last, Errc::kCorruption), ::testing::HasSubstr("page 3 is missing"));
}

TEST(MergeTest, EveryInputIsProvenEvenWhereItAddsNothing) {
  const Bytes covered = Incremental(4, 9, {{PageNo{1}, Fill('a')}, {PageNo{9}, Fill('b')}});
  const Bytes newer = Incremental(5, 2, {{PageNo{1}, Fill('c')}});
  ASSERT_TRUE(MergeFiles({covered, newer}));
  Bytes broken = covered;
  broken.back() ^= std::byte{1};
  EXPECT_THAT(ErrorOf(MergeFiles({broken, newer}), Errc::kCorruption),
              ::testing::AllOf(::testing::HasSubstr("file checksum"),
                               ::testing::HasSubstr("0000000000000004")));
  broken = covered;
  broken.pop_back();
  EXPECT_NE(ErrorOf(MergeFiles({broken, newer}), Errc::kCorruption), "(none)");
}

TEST(MergeTest, LockPageIsNoGap) {
  constexpr std::uint32_t kBig = 65536;
  const std::uint32_t lock = ToInt(LockPage(kBig));
  const Bytes page(kBig, std::byte{1});
  // The second input brings the pages around the lock page, the first one all before them.
  VectorSink first;
  Encoder encoder(first, {});
  ASSERT_TRUE(encoder.WriteHeader(SnapshotHeader(kBig, lock - 2, 1)));
  for (std::uint32_t n = 1; n <= lock - 2; ++n) {
    ASSERT_TRUE(encoder.WritePage(PageNo{n}, page));
  }
  ASSERT_TRUE(encoder.Finish());
  for (const std::uint32_t commit : {lock, lock + 1}) {
    PageMap pages{{PageNo{lock - 1}, page}};
    if (commit > lock) pages[PageNo{lock + 1}] = page;
    const Bytes second = Encode(IncrementalHeader(kBig, commit, 2), pages).value();
    SpanSource older(first.bytes());
    SpanSource newer(second);
    ByteSource* const inputs[] = {&older, &newer};
    VectorSink out;
    const auto merged = Merge(inputs, out, {});
    ASSERT_TRUE(merged) << merged.error().message();
  }
}

// A database that lives: what is cut, and what the database is after each cut.
struct History {
  std::vector<Bytes> files;     // txid 1, 2, ...
  std::vector<PageMap> states;  // after each
};

History RandomHistory(std::uint64_t seed, std::size_t length, PageEncoding encoding) {
  std::mt19937_64 random(seed);
  History history;
  PageMap state;
  for (std::uint64_t txid = 1; txid <= length; ++txid) {
    const DatabaseChecksum before = SumOf(state);
    const auto old_size = static_cast<std::uint32_t>(state.size());
    // Grows and shrinks by leaps, to one page at times.
    const auto size = static_cast<std::uint32_t>(
        random() % 4 == 0 ? 1 + random() % 40 : std::max<std::uint64_t>(1, old_size));
    PageMap change;
    for (std::uint32_t n = 1; n <= size; ++n) {
      if (n > old_size || random() % 5 == 0) change[PageNo{n}] = BtreePage(random, kPageSize);
    }
    for (const auto& [n, page] : change) state[n] = page;
    std::erase_if(state, [&](const auto& entry) { return ToInt(entry.first) > size; });
    Header header = IncrementalHeader(kPageSize, size, txid);
    header.chain = Chain{.before = before, .after = SumOf(state)};
    history.files.push_back(Encode(header, change, {.encoding = encoding}).value());
    history.states.push_back(state);
  }
  return history;
}

// The model: pages in a map, file after file.
PageMap MergeNaively(const std::vector<Bytes>& files) {
  PageMap pages;
  std::uint32_t commit = 0;
  for (const Bytes& bytes : files) {
    const DecodedFile file = Decode(bytes).value();
    for (const auto& [n, page] : file.pages) pages[n] = page;
    commit = file.header.commit_pages;
  }
  std::erase_if(pages, [&](const auto& entry) { return ToInt(entry.first) > commit; });
  return pages;
}

TEST(MergePropertyTest, AgreesWithTheModelOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed ^ 0xABCDEF);
    const auto encoding = seed % 2 == 0 ? PageEncoding::kBlock : PageEncoding::kFrame;
    const History history = RandomHistory(seed, 2 + random() % 12, encoding);
    const std::size_t first = random() % history.files.size();
    const std::size_t count = 1 + random() % (history.files.size() - first);
    const auto begin = history.files.begin() + static_cast<std::ptrdiff_t>(first);
    const std::vector<Bytes> files(begin, begin + static_cast<std::ptrdiff_t>(count));

    const auto merged = MergeFiles(files);
    ASSERT_TRUE(merged) << merged.error().message();
    EXPECT_EQ(merged->file.pages, MergeNaively(files));
    ASSERT_TRUE(merged->file.header.chain);
    const PageMap& after = history.states[first + count - 1];
    EXPECT_EQ(merged->file.header.chain->after, SumOf(after));
    if (first == 0) EXPECT_EQ(merged->file.pages, after);
  }
}

TEST(MergePropertyTest, MergingInStepsGivesTheSameAsAtOnce) {
  for (std::uint64_t seed = 100; seed < 120; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const History history = RandomHistory(seed, 20, PageEncoding::kBlock);
    std::vector<Bytes> steps;
    for (std::size_t i = 0; i < history.files.size();) {
      const std::size_t count = std::min<std::size_t>(1 + random() % 6, history.files.size() - i);
      std::vector<SpanSource> sources(
          history.files.begin() + static_cast<std::ptrdiff_t>(i),
          history.files.begin() + static_cast<std::ptrdiff_t>(i + count));
      std::vector<ByteSource*> inputs;
      for (SpanSource& source : sources) inputs.push_back(&source);
      VectorSink sink;
      ASSERT_TRUE(Merge(inputs, sink, {}));
      steps.push_back(sink.bytes());
      i += count;
    }
    const auto in_steps = MergeFiles(steps);
    const auto at_once = MergeFiles(history.files);
    ASSERT_TRUE(in_steps);
    ASSERT_TRUE(at_once);
    EXPECT_EQ(in_steps->file.pages, at_once->file.pages);
    EXPECT_EQ(in_steps->file.header, at_once->file.header);
    EXPECT_EQ(at_once->file.pages, history.states.back());
  }
}

TEST(MergePropertyTest, HundredsOfInputsAtOnce) {
  const History history = RandomHistory(7, 500, PageEncoding::kBlock);
  const auto merged = MergeFiles(history.files);
  ASSERT_TRUE(merged) << merged.error().message();
  EXPECT_EQ(merged->file.pages, history.states.back());
}

}  // namespace
}  // namespace runnel::ltx
