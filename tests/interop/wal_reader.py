"""Reads a WAL file the way Litestream does: by salts and checksums alone, not the wal-index."""

import struct

WAL_HEADER = 32
FRAME_HEADER = 24


class InvalidWal(Exception):
    """The file has no header that proves itself: Litestream waits for a better one."""


class PreviousFrameMismatch(Exception):
    """The frame before the wanted offset is of another generation, or is not there."""


def checksum(order, state, data):
    s0, s1 = state
    for a, b in struct.iter_unpack(order + "II", data):
        s0 = (s0 + a + s1) & 0xFFFFFFFF
        s1 = (s1 + b + s0) & 0xFFFFFFFF
    return s0, s1


class WalReader:
    """Over the bytes of a WAL file; from its start, or from `offset` on with the salts of old."""

    def __init__(self, data, offset=None, salts=None):
        self.data = data
        if len(data) < WAL_HEADER:
            raise InvalidWal("shorter than a header")
        fields = struct.unpack_from(">8I", data)
        magic, version, self.page_size, _, salt1, salt2, sum1, sum2 = fields
        if magic not in (0x377F0682, 0x377F0683):
            raise InvalidWal("magic")
        self.order = ">" if magic & 1 else "<"
        if checksum(self.order, (0, 0), data[:24]) != (sum1, sum2):
            raise InvalidWal("header checksum")
        if version != 3007000:
            raise InvalidWal("version")
        self.salts = (salt1, salt2)
        self.frame_size = FRAME_HEADER + self.page_size
        self._state = (sum1, sum2)
        self._frame = 0  # frames before the next one
        if offset is None:
            return
        self.salts = salts
        frames, odd = divmod(offset - WAL_HEADER, self.frame_size)
        if frames < 1 or odd:
            raise ValueError(f"WAL offset {offset} is not behind a frame")
        self._frame = frames - 1
        if self._next(verify=False) is None:
            raise PreviousFrameMismatch(f"at {offset}")

    def _next(self, verify=True):
        """(page number, commit size, offset of the frame), or None at the end of what is valid."""
        at = WAL_HEADER + self._frame * self.frame_size
        if at + self.frame_size > len(self.data):
            return None
        page_no, commit, salt1, salt2, sum1, sum2 = struct.unpack_from(">6I", self.data, at)
        if (salt1, salt2) != self.salts:
            return None
        if verify:
            state = checksum(self.order, self._state, self.data[at:at + 8])
            state = checksum(self.order, state, self.data[at + FRAME_HEADER:at + self.frame_size])
            if state != (sum1, sum2):
                return None
        self._state = (sum1, sum2)
        self._frame += 1
        return page_no, commit, at

    def page_map(self, max_bytes=0):
        """(page -> offset of its newest committed frame, end, commit size). With `max_bytes`, up to
        the first commit at which so many were read. Nothing committed: ({}, 0, 0)."""
        pages, transaction, commit, first = {}, {}, 0, self._frame
        while (frame := self._next()) is not None:
            page_no, frame_commit, at = frame
            transaction[page_no] = at
            if frame_commit == 0:
                continue
            pages.update(transaction)
            transaction.clear()
            commit = frame_commit
            if max_bytes and (self._frame - first) * self.frame_size >= max_bytes:
                break
        pages = {page_no: at for page_no, at in pages.items() if page_no <= commit}
        if not pages:
            return {}, 0, 0
        return pages, max(pages.values()) + self.frame_size, commit

    def page_at(self, at):
        return self.data[at + FRAME_HEADER:at + self.frame_size]

    def frame_salts_until(self, until):
        """The salts of all frames, from the start of the file to the first with `until`."""
        found = set()
        for at in range(WAL_HEADER, len(self.data) - FRAME_HEADER + 1, self.frame_size):
            salts = struct.unpack_from(">2I", self.data, at + 8)
            found.add(salts)
            if salts == until:
                break
        return found
