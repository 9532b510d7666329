// An object on its way in parts.

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "store/retry.h"
#include "store/s3/bucket_client.h"

namespace runnel::store::s3 {

// How parts are sent: `parts_in_flight` threads that end with the upload. One thread uses this at a
// time.
class PartUploader {
 public:
  // Sends part `number` (from 1) and returns its etag. Called from several threads at once.
  using SendPart = std::function<Result<std::string>(unsigned number, ByteView body)>;

  PartUploader(unsigned parts_in_flight, SendPart send_part);
  ~PartUploader();  // waits for what is under way
  PartUploader(const PartUploader&) = delete;
  PartUploader& operator=(const PartUploader&) = delete;

  // Blocks while all threads have work. Returns an empty buffer that may have room already. Fails
  // with what kept an earlier part from being stored.
  Result<Bytes> Add(Bytes part);

  // Waits for all parts; their etags in order.
  Result<std::vector<std::string>> Finish();

 private:
  struct Part {
    unsigned number = 0;
    Bytes body;
  };

  void Work();
  void Join();

  const unsigned threads_max_;
  const SendPart send_part_;
  std::vector<std::jthread> threads_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Part> waiting_;
  std::vector<Bytes> spare_;
  std::vector<std::string> etags_;
  unsigned under_way_ = 0;  // waiting, or being sent
  std::optional<Error> error_;
  bool closed_ = false;
};

}  // namespace runnel::store::s3
