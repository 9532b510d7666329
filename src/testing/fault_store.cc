#include "testing/fault_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace runnel::testing {
namespace {

using store::ListPage;
using store::ObjectInfo;
using store::ObjectKey;
using store::ObjectWriter;
using store::PutOptions;

constexpr std::size_t kRecentMax = 40;

Error Injected(StoreCall call, const std::string& what, Errc code) {
  return {code, fmt::format("injected failure of {} {}", StoreCallName(call), what)};
}

}  // namespace

std::string_view StoreCallName(StoreCall call) {
  switch (call) {
    case StoreCall::kStartPut: return "start-put";
    case StoreCall::kAppend: return "append";
    case StoreCall::kCommit: return "commit";
    case StoreCall::kReadAt: return "read-at";
    case StoreCall::kHead: return "head";
    case StoreCall::kList: return "list";
    case StoreCall::kDelete: return "delete";
  }
  std::unreachable();
}

template <class T, class F>
Result<T> FaultStore::Do(StoreCall call, const std::string& what, F forward) {
  std::optional<StoreFault> fault = Count(call, what);
  Delay(fault);
  if (!fault || fault->kind == StoreFault::Kind::kDuplicate) return forward();
  if (fault->kind == StoreFault::Kind::kLoseReply) {
    if (auto done = forward(); !done) return done;
  }
  return Fail(Injected(call, what, fault->code));
}

class FaultStore::Writer final : public ObjectWriter {
 public:
  Writer(FaultStore& owner, std::unique_ptr<ObjectWriter> writer, ObjectKey key, PutOptions options)
      : owner_(owner),
        writer_(std::move(writer)),
        key_(std::move(key)),
        options_(std::move(options)) {}

  Result<void> Append(ByteView bytes) override {
    std::optional<StoreFault> fault = owner_.Count(StoreCall::kAppend, key_.text());
    owner_.Delay(fault);
    if (!fault) return Forward(bytes);
    if (fault->kind == StoreFault::Kind::kTear) {
      RUNNEL_TRY_VOID(Forward(bytes.first(bytes.size() / 2)));
    }
    return Fail(Injected(StoreCall::kAppend, key_.text(), fault->code));
  }

  Result<ObjectInfo> Commit() override {
    std::optional<StoreFault> fault = owner_.Count(StoreCall::kCommit, key_.text());
    owner_.Delay(fault);
    if (!fault) return writer_->Commit();
    const bool is_done =
        fault->kind == StoreFault::Kind::kLoseReply || fault->kind == StoreFault::Kind::kDuplicate;
    if (is_done) {
      auto committed = writer_->Commit();
      if (!committed) return committed;
      if (fault->kind == StoreFault::Kind::kDuplicate) {
        // The same request once more, as a proxy may send it; its own answer goes nowhere.
        (void)store::PutObject(owner_.store_, key_, body_, options_);
        return committed;
      }
    }
    return Fail(Injected(StoreCall::kCommit, key_.text(), fault->code));
  }

 private:
  Result<void> Forward(ByteView bytes) {
    body_.insert(body_.end(), bytes.begin(), bytes.end());
    return writer_->Append(bytes);
  }

  FaultStore& owner_;
  const std::unique_ptr<ObjectWriter> writer_;
  const ObjectKey key_;
  const PutOptions options_;
  Bytes body_;  // so that it can be sent twice
};

Result<std::unique_ptr<ObjectWriter>> FaultStore::StartPut(const ObjectKey& key,
                                                           const PutOptions& options) {
  RUNNEL_TRY(auto writer, Do<std::unique_ptr<ObjectWriter>>(StoreCall::kStartPut, key.text(), [&] {
               return store_.StartPut(key, options);
             }));
  return std::make_unique<Writer>(*this, std::move(writer), key, options);
}

Result<std::size_t> FaultStore::ReadAt(const ObjectKey& key, std::uint64_t offset,
                                       MutableBytes out) {
  std::optional<StoreFault> fault = Count(StoreCall::kReadAt, key.text());
  Delay(fault);
  if (!fault || fault->kind == StoreFault::Kind::kDuplicate) return store_.ReadAt(key, offset, out);
  if (fault->kind == StoreFault::Kind::kTear) {
    RUNNEL_TRY_VOID(store_.ReadAt(key, offset, out.first(out.size() / 2)));
  }
  return Fail(Injected(StoreCall::kReadAt, key.text(), fault->code));
}

Result<ObjectInfo> FaultStore::Head(const ObjectKey& key) {
  return Do<ObjectInfo>(StoreCall::kHead, key.text(), [&] { return store_.Head(key); });
}

Result<ListPage> FaultStore::List(const std::string& prefix,
                                  const std::optional<ObjectKey>& start_after, std::size_t limit) {
  return Do<ListPage>(StoreCall::kList, prefix, [&]() -> Result<ListPage> {
    {
      const std::lock_guard lock(mutex_);
      if (frozen_) {
        ListPage page;
        for (const ObjectInfo& info : *frozen_) {
          if (!info.key.text().starts_with(prefix)) continue;
          if (start_after && info.key <= *start_after) continue;
          if (page.objects.size() == limit) {
            page.next_after = page.objects.back().key;
            break;
          }
          page.objects.push_back(info);
        }
        return page;
      }
    }
    return store_.List(prefix, start_after, limit);
  });
}

Result<void> FaultStore::Delete(std::span<const ObjectKey> keys) {
  const std::string what = keys.empty() ? "nothing" : keys.front().text();
  std::optional<StoreFault> fault = Count(StoreCall::kDelete, what);
  Delay(fault);
  if (!fault) return store_.Delete(keys);
  switch (fault->kind) {
    case StoreFault::Kind::kTear:
      RUNNEL_TRY_VOID(store_.Delete(keys.first(keys.size() / 2)));
      break;
    case StoreFault::Kind::kLoseReply: RUNNEL_TRY_VOID(store_.Delete(keys)); break;
    case StoreFault::Kind::kDuplicate:
      RUNNEL_TRY_VOID(store_.Delete(keys));
      return store_.Delete(keys);
    default: break;
  }
  return Fail(Injected(StoreCall::kDelete, what, fault->code));
}

void FaultStore::At(std::uint64_t n, StoreFault fault) {
  const std::lock_guard lock(mutex_);
  faults_[call_count_ + n] = fault;
}

void FaultStore::FailFrom(std::uint64_t n, Errc code) {
  const std::lock_guard lock(mutex_);
  fail_from_ = call_count_ + n;
  fail_from_code_ = code;
}

void FaultStore::Throttle(std::uint64_t count) {
  for (std::uint64_t n = 1; n <= count; ++n) At(n, {.code = Errc::kUnavailable});
}

void FaultStore::CountOnly(std::optional<StoreCall> call) {
  const std::lock_guard lock(mutex_);
  only_ = call;
}

void FaultStore::Heal() {
  const std::lock_guard lock(mutex_);
  call_count_ = 0;
  faults_.clear();
  fail_from_.reset();
}

Result<void> FaultStore::FreezeListing() {
  RUNNEL_TRY(auto objects, store::ListAll(store_, ""));
  const std::lock_guard lock(mutex_);
  frozen_ = std::move(objects);
  return {};
}

void FaultStore::ThawListing() {
  const std::lock_guard lock(mutex_);
  frozen_.reset();
}

std::uint64_t FaultStore::call_count() const {
  const std::lock_guard lock(mutex_);
  return call_count_;
}

std::string FaultStore::RecentCalls() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& line : recent_) text += line + "\n";
  return text;
}

std::optional<StoreFault> FaultStore::Count(StoreCall call, const std::string& what) {
  const std::lock_guard lock(mutex_);
  if (only_ && *only_ != call) return std::nullopt;
  ++call_count_;
  std::optional<StoreFault> fault;
  if (const auto found = faults_.find(call_count_); found != faults_.end()) {
    fault = found->second;
  } else if (fail_from_ && call_count_ >= *fail_from_) {
    fault = StoreFault{.code = fail_from_code_};
  }
  recent_.push_back(fmt::format("{:>6} {} {}{}", call_count_, StoreCallName(call), what,
                                fault ? "  <-- fault" : ""));
  if (recent_.size() > kRecentMax) recent_.pop_front();
  return fault;
}

void FaultStore::Delay(std::optional<StoreFault>& fault) {
  if (!fault || fault->kind != StoreFault::Kind::kDelay) return;
  clock_.Sleep(fault->delay);
  fault.reset();
}

}  // namespace runnel::testing
