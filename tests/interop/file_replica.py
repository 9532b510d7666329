"""A replica in a folder as Litestream's file client sees it: names, merging, the restore plan."""

import dataclasses
import os
import pathlib

import ltx_codec as ltx

SNAPSHOT_LEVEL = 9


class NotAvailable(Exception):
    """Litestream's planner finds no way to the wanted state."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    level: int
    first: int
    last: int
    created: int  # milliseconds: the file's time of modification
    path: pathlib.Path


def merge(inputs, encoding):
    """Litestream's compactor: the newest of each page, as far as the last commit size."""
    for previous, following in zip(inputs, inputs[1:]):
        ltx.need(previous.header.page_size == following.header.page_size, "page sizes differ")
        ltx.need(following.header.min_txid <= previous.header.max_txid + 1 and
                 following.header.max_txid > previous.header.max_txid,
                 f"a gap between {previous.header.max_txid} and {following.header.min_txid}")
    last = inputs[-1].header
    header = ltx.Header(last.page_size, last.commit, inputs[0].header.min_txid, last.max_txid,
                        last.timestamp)
    pages = {}
    for one in inputs:
        pages.update(one.pages)
    kept = [(page_no, page) for page_no, page in sorted(pages.items()) if page_no <= last.commit]
    return ltx.encode(header, kept, encoding)


class FileReplica:
    """`readable` are the page forms that the playing version of Litestream understands."""

    def __init__(self, root, encoding):
        self.root = pathlib.Path(root)
        self.encoding = encoding
        self.readable = (ltx.BLOCK, ltx.FRAME) if encoding == ltx.BLOCK else (ltx.FRAME,)

    def folder(self, level):
        return self.root / "ltx" / str(level)

    def list(self, level):
        folder = self.folder(level)
        if not folder.is_dir():
            return []
        files = []
        for path in folder.iterdir():
            if span := ltx.parse_file_name(path.name):
                files.append(RemoteFile(level, *span, path.stat().st_mtime_ns // 1_000_000, path))
        return sorted(files, key=lambda f: (f.first, f.last))

    def max_txid(self, level=0):
        return max((f.last for f in self.list(level)), default=0)

    def write(self, level, data):
        header = ltx.Header.parse(data)
        path = self.folder(level) / ltx.file_name(header.min_txid, header.max_txid)
        write_file(path, data)
        os.utime(path, ns=(header.timestamp * 1_000_000,) * 2)
        return path

    def read(self, file):
        return ltx.decode(file.path.read_bytes(), self.readable)

    # ---- compaction and retention

    def compact(self, level):
        """Into `level`, from the one below. False if there is nothing to compact."""
        begin = self.max_txid(level) + 1
        sources = [f for f in self.list(level - 1) if f.first >= begin]
        if not sources:
            return False
        self.write(level, merge([self.read(f) for f in sources], self.encoding))
        return True

    def enforce_l0_retention(self, before):
        """Deletes what is older than `before` and compacted; returns the txids."""
        compacted = self.max_txid(1)
        files, deleted = self.list(0), []
        for file in files[:-1]:
            if file.created >= before:
                break
            if file.last <= compacted:
                file.path.unlink()
                deleted.append(file.last)
        return deleted

    def enforce_snapshot_retention(self, before):
        snapshots = self.list(SNAPSHOT_LEVEL)
        deleted = [f for f in snapshots[:-1] if f.created < before]
        retained = [f for f in snapshots if f not in deleted]
        floor = 0
        if retained and (at := snapshots.index(retained[0])) > 0:
            floor = snapshots[at - 1].last
        for file in deleted:
            file.path.unlink()
        for level in range(1, SNAPSHOT_LEVEL):
            for file in self.list(level)[:-1]:
                if file.last < floor:
                    file.path.unlink()

    # ---- restore

    def plan(self, txid=0):
        """The files to the newest state, or to exactly `txid`, as Litestream 0.5.16 plans it."""
        chosen = []
        for file in self.list(SNAPSHOT_LEVEL):
            if not txid or file.last <= txid:
                chosen = [file]
        end = chosen[-1].last if chosen else 0
        levels = [self.list(level) for level in range(SNAPSHOT_LEVEL)]
        while not txid or end < txid:
            fitting = [f for files in levels for f in files
                       if f.first <= end + 1 and f.last > end and (not txid or f.last <= txid)]
            if not fitting:
                break
            chosen.append(min(fitting, key=lambda f: (-f.last, f.first, -f.level, f.created)))
            end = chosen[-1].last
        if not txid:
            for file in (f for files in levels for f in files):
                if file.first > end + 1:
                    raise NotAvailable(f"have up to {end}, but {file.path} starts at {file.first}")
        if not chosen or (txid and end != txid):
            raise NotAvailable(f"no files for txid {txid}")
        return chosen

    def plan_of_early_versions(self):
        """The newest state as 0.5.0 to 0.5.4 plan it: level by level, and no gap is passed over."""
        chosen = self.list(SNAPSHOT_LEVEL)[-1:]
        end = chosen[-1].last if chosen else 0
        for level in reversed(range(SNAPSHOT_LEVEL)):
            for file in self.list(level):
                if file.last <= end:
                    continue
                if file.first > end + 1:
                    raise NotAvailable(f"have up to {end}, but {file.path} starts at {file.first}")
                chosen.append(file)
                end = file.last
        if not chosen:
            raise NotAvailable("no files")
        return chosen

    def restore(self, txid=0, plan=None):
        """(txid, the database file), by Litestream's planner and decoder."""
        plan = plan or self.plan(txid)
        merged = ltx.decode(merge([self.read(f) for f in plan], self.encoding), self.readable)
        ltx.need(merged.header.is_snapshot, "the plan does not begin at txid 1")
        size, lock = merged.header.page_size, ltx.lock_page(merged.header.page_size)
        return plan[-1].last, b"".join(
            bytes(size) if page_no == lock else merged.pages[page_no]
            for page_no in range(1, merged.header.commit + 1))


def write_file(path, data):
    """As Litestream does: beside it, synced, renamed, the folder synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
