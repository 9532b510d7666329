#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace runnel {
namespace {

Errc FromErrnoCode(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR: return Errc::kNotFound;
    case EEXIST:
    case ENOTEMPTY:  // POSIX lets rmdir() say either
      return Errc::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS: return Errc::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return Errc::kNoSpace;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY: return Errc::kBusy;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ELOOP: return Errc::kInvalidArgument;
    case ETIMEDOUT: return Errc::kTimedOut;
    case ENOTSUP:
    case ENOSYS: return Errc::kUnsupported;
    case EMFILE:
    case ENFILE:
    case ENOMEM: return Errc::kUnavailable;
    default: return Errc::kIo;
  }
}

}  // namespace

std::string_view ErrcName(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument: return "invalid_argument";
    case Errc::kNotFound: return "not_found";
    case Errc::kAlreadyExists: return "already_exists";
    case Errc::kPreconditionFailed: return "precondition_failed";
    case Errc::kFenced: return "fenced";
    case Errc::kCorruption: return "corruption";
    case Errc::kBusy: return "busy";
    case Errc::kUnavailable: return "unavailable";
    case Errc::kTimedOut: return "timed_out";
    case Errc::kCancelled: return "cancelled";
    case Errc::kNoSpace: return "no_space";
    case Errc::kPermissionDenied: return "permission_denied";
    case Errc::kIo: return "io";
    case Errc::kUnsupported: return "unsupported";
    case Errc::kInternal: return "internal";
  }
  std::unreachable();
}

Error Error::FromErrno(int errno_value, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(errno_value);
  return {FromErrnoCode(errno_value), std::move(message)};
}

Error Error::Context(std::string_view what) const& { return Error(*this).Context(what); }

Error Error::Context(std::string_view what) && {
  std::string message(what);
  message += ": ";
  message += message_;
  return {code_, std::move(message)};
}

bool Error::retryable() const {
  switch (code_) {
    case Errc::kBusy:
    case Errc::kUnavailable:
    case Errc::kTimedOut:
    case Errc::kNoSpace:
    case Errc::kIo: return true;
    default: return false;
  }
}

}  // namespace runnel
