#include "replicate/claim.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace runnel::replicate {
namespace {

constexpr int kClaimVersion = 1;
constexpr std::size_t kClaimSizeMax = 16 * 1024;
// Each lost round means that another daemon took the claim in between.
constexpr int kRoundsMax = 8;

bool LostAgainstAnother(const Error& error) {
  return error.code() == Errc::kAlreadyExists || error.code() == Errc::kPreconditionFailed;
}

Error FencedBy(const ClaimRecord& holder) {
  return {Errc::kFenced,
          fmt::format("the replica belongs to another daemon now (epoch {}, host {})", holder.epoch,
                      holder.identity.host)};
}

}  // namespace

std::string SerializeClaim(const ClaimRecord& record) {
  const nlohmann::ordered_json json = {
      {"version", kClaimVersion},
      {"epoch", record.epoch},
      {"host", record.identity.host},
      {"boot_id", record.identity.boot_id},
      {"database", record.identity.database},
      {"started", record.started.time_since_epoch().count()},
      {"writer", record.writer},
  };
  // A host name is whatever the administrator made it: bytes that are no UTF-8 are replaced.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<ClaimRecord> ParseClaim(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto damaged = [](std::string_view what) {
    return Fail(Errc::kCorruption, fmt::format("{}; delete it if no daemon writes there", what));
  };
  if (!json.is_object()) return damaged("the claim is not a JSON object");
  const auto number = [&](const char* key) -> std::optional<std::uint64_t> {
    const auto at = json.find(key);
    if (at == json.end() || !at->is_number_unsigned()) return std::nullopt;
    return at->get<std::uint64_t>();
  };
  const auto text_of = [&](const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  const auto version = number("version");
  const auto epoch = number("epoch");
  if (!version || !epoch || *epoch == 0) return damaged("the claim has no version or epoch");
  if (*version > kClaimVersion) {
    return Fail(Errc::kUnsupported,
                fmt::format("the claim is of version {}; a newer Runnel writes there", *version));
  }
  const auto started = static_cast<std::int64_t>(number("started").value_or(0));
  return ClaimRecord{.epoch = *epoch,
                     .identity = {.host = text_of("host"),
                                  .boot_id = text_of("boot_id"),
                                  .database = text_of("database")},
                     .started = WallTime(std::chrono::milliseconds(started)),
                     .writer = text_of("writer")};
}

Claim::Claim(store::ObjectStore& store, store::ObjectKey key, ClaimIdentity identity, Clock& clock,
             Random& random)
    : store_(store),
      key_(std::move(key)),
      identity_(std::move(identity)),
      clock_(clock),
      writer_(fmt::format("{:016x}{:016x}", random.NextU64(), random.NextU64())),
      started_(clock.Now()) {}

std::uint64_t Claim::epoch() const {
  const MutexLock lock(mutex_);
  return epoch_;
}

bool Claim::was_anothers() const {
  const MutexLock lock(mutex_);
  return was_anothers_;
}

void Claim::Doubt() {
  const MutexLock lock(mutex_);
  checked_at_.reset();
}

// The etag is read first: if the claim changes before its content is read, the etag is of the old
// content, and a write that depends on it fails.
Result<std::optional<Claim::Stored>> Claim::Read() {
  auto info = store_.Head(key_);
  if (!info && info.error().code() == Errc::kNotFound) return std::nullopt;
  if (!info) return Fail(std::move(info).error());
  auto body = store::ReadObject(store_, key_, kClaimSizeMax);
  if (!body && body.error().code() == Errc::kNotFound) return std::nullopt;
  if (!body) return Fail(std::move(body).error());
  auto record = ParseClaim(AsText(*body));
  if (!record) return Fail(std::move(record).error().Context(key_.text()));
  return Stored{*std::move(record), info->etag};
}

Result<void> Claim::Write(const ClaimRecord& record, const std::optional<Stored>& replaced) {
  store::PutOptions options;
  if (store_.capabilities().conditional_writes) {
    options.condition =
        replaced ? store::PutCondition::IfMatch(replaced->etag) : store::PutCondition::IfAbsent();
  }
  const std::string text = SerializeClaim(record);
  auto written = store::PutObject(store_, key_, AsBytes(text), options);
  // Some stores know only now that they have no conditional writes.
  if (!written && written.error().code() == Errc::kUnsupported &&
      !store_.capabilities().conditional_writes) {
    written = store::PutObject(store_, key_, AsBytes(text), {});
  }
  RUNNEL_TRY_VOID(written);
  return {};
}

Result<void> Claim::TakeOver(const std::optional<Stored>& current) {
  std::uint64_t epoch_before = epoch();
  if (current) epoch_before = std::max(epoch_before, current->record.epoch);
  const ClaimRecord ours{
      .epoch = epoch_before + 1, .identity = identity_, .started = started_, .writer = writer_};
  const MonotonicTime asked_at = clock_.MonotonicNow();
  RUNNEL_TRY_VOID(Write(ours, current));
  if (!store_.capabilities().conditional_writes) {
    RUNNEL_TRY(const auto stored, Read());
    if (!stored || !(stored->record == ours)) {
      return Fail(Errc::kPreconditionFailed, "another daemon took the claim in the same moment");
    }
  }
  const MutexLock lock(mutex_);
  epoch_ = ours.epoch;
  checked_at_ = asked_at;
  if (current && current->record.writer != writer_) was_anothers_ = true;
  return {};
}

Result<void> Claim::Take() { return TakeFrom(From::kAnybody); }

Result<void> Claim::Renew() { return TakeFrom(From::kOurselves); }

Result<void> Claim::TakeFrom(From from) {
  for (int round = 0; round < kRoundsMax; ++round) {
    RUNNEL_TRY(const auto current, Read());
    if (from == From::kOurselves && current && current->record.writer != writer_) {
      return Fail(FencedBy(current->record));
    }
    auto taken = TakeOver(current);
    if (taken || !LostAgainstAnother(taken.error())) return taken;
    // Another daemon's claim, or our own whose reply was lost: the next round takes an epoch past
    // either.
  }
  return Fail(Errc::kUnavailable, fmt::format("{}: many daemons claim it at once", key_.text()));
}

Result<void> Claim::Check() {
  for (int round = 0; round < kRoundsMax; ++round) {
    const MonotonicTime asked_at = clock_.MonotonicNow();
    RUNNEL_TRY(const auto current, Read());
    if (current) {
      if (current->record.writer != writer_) return Fail(FencedBy(current->record));
      const MutexLock lock(mutex_);
      epoch_ = current->record.epoch;
      checked_at_ = asked_at;
      return {};
    }
    auto taken = TakeOver(std::nullopt);
    if (taken || !LostAgainstAnother(taken.error())) return taken;
  }
  return Fail(Errc::kUnavailable, fmt::format("{}: comes and goes", key_.text()));
}

Result<void> Claim::CheckIfOlder(std::chrono::nanoseconds max_age) {
  {
    const MutexLock lock(mutex_);
    if (checked_at_ && clock_.MonotonicNow() - *checked_at_ < max_age) return {};
  }
  return Check();
}

}  // namespace runnel::replicate
