// Copies newly committed frames from a WAL file into a segment.

#pragma once

#include "base/result.h"
#include "capture/position.h"
#include "capture/read_mark.h"
#include "capture/segment.h"
#include "fs/file_system.h"

namespace runnel::capture {

// Reads the frames after `from` up to `to`, adds their pages to `segment` and commits it at `to`.
// A different generation in `to` means that the WAL restarted with everything of `from` captured:
// reading begins at its first frame.
//
// Every frame is verified against the salts and the cumulative checksum, which must arrive at the
// one that the wal-index publishes. kCorruption if the file does not hold what the wal-index says:
// continuity is lost. Other errors leave the segment uncommitted; the same call may be repeated.
Result<void> CaptureFrames(fs::File& wal, const WalPosition& from, const WalState& to,
                           Segment& segment);

// Whether the WAL is of the generation of `held` and so is each of its frames from `first` to the
// end of `held`, as far as their salts say.
Result<bool> HoldsFrames(fs::File& wal, const WalState& held, FrameNo first);

// Whether the WAL still holds, as its frame number `position.frame`, the frame that ends at this
// position, so that reading can go on behind it. For frame 0: whether its header is that one.
Result<bool> HoldsPosition(fs::File& wal, std::uint32_t page_size, const WalPosition& position);

}  // namespace runnel::capture
