"""Litestream 0.5 as one reads of it: what it leaves on disk, and how it goes on from what is there.

A model for tests, single-threaded: what Litestream does at ticks, the test calls. It follows
Litestream's decisions to the letter, its mistakes included.
"""

import dataclasses
import os
import pathlib
import shutil
import sqlite3
import time

import ltx_codec as ltx
from file_replica import SNAPSHOT_LEVEL, FileReplica, write_file
from live_files import PersistentWal, read_database_file
from wal_reader import WAL_HEADER, PreviousFrameMismatch, WalReader

MAX_SYNC_BYTES = 64 << 20


class LitestreamError(Exception):
    """Litestream logs this and tries again for ever."""


@dataclasses.dataclass
class Decision:
    """What verification of the newest local file against the WAL came to."""
    full_copy: bool
    offset: int = WAL_HEADER
    salts: tuple = (0, 0)
    previous_commit: int = 0
    reason: str = ""
    clear_synced_to_end: bool = False


class Litestream:
    """One run of the program on one database.

    `on_cut(txid)` is called when a local file is made, before anything else is written to the
    database by Litestream itself.
    """

    def __init__(self, database, replica: FileReplica, on_cut=lambda txid: None, now=time.time):
        self.database = pathlib.Path(database)
        self.wal = pathlib.Path(f"{database}-wal")
        self.state = self.database.with_name(f".{self.database.name}-litestream")
        self.local = self.state / "ltx" / "0"
        self.replica = replica
        self.on_cut = on_cut
        self.now = now
        self.log = []  # of what it decided at each sync
        self._writer = self._reader = self._guard = None
        self._synced_offset = 0  # logical end of the WAL as of the last sync
        self._synced_to_end = False
        self._remove_temporary_files()
        self._init()

    # ---- start and end

    def _remove_temporary_files(self):
        for path in self.state.rglob("*.tmp") if self.state.is_dir() else ():
            path.unlink()

    def _connect(self):
        connection = sqlite3.connect(self.database, timeout=5, isolation_level=None,
                                     check_same_thread=False)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return connection

    def _init(self):
        self._writer, self._reader = self._connect(), self._connect()
        (mode,) = self._writer.execute("PRAGMA journal_mode=wal").fetchone()
        if mode != "wal":
            raise LitestreamError(f"journal mode {mode}")
        self._guard = PersistentWal(self.database)
        self._writer.execute(
            "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
        self._writer.execute("CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER)")
        self._acquire_read_mark()
        (self.page_size,) = self._writer.execute("PRAGMA page_size").fetchone()
        self.state.mkdir(parents=True, exist_ok=True)
        self._ensure_wal()
        self._adopt_if_behind()

    def _acquire_read_mark(self):
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT COUNT(1) FROM _litestream_seq").fetchone()

    def _release_read_mark(self):
        self._reader.execute("ROLLBACK")

    def _bump(self):
        self._writer.execute("INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) "
                             "ON CONFLICT (id) DO UPDATE SET seq = seq + 1")

    def _ensure_wal(self):
        if not self.wal.exists() or self.wal.stat().st_size < WAL_HEADER:
            self._bump()

    def _adopt_if_behind(self):
        """A replica that is ahead: its newest file becomes the local baseline."""
        remote = self.replica.list(0)
        if not remote or self.position() >= (newest := max(remote, key=lambda f: f.last)).last:
            return
        shutil.rmtree(self.local, ignore_errors=True)
        write_file(self.local / newest.path.name, newest.path.read_bytes())

    def close(self):
        """SIGTERM: a last sync, everything uploaded."""
        self.sync()
        self.upload()
        self._disconnect()

    def kill(self):
        """SIGKILL: nothing is synced, and nobody checkpoints on the way out."""
        before, database = self.wal.read_bytes(), read_database_file(self.database)
        self._disconnect()
        if not self.wal.exists() or self.wal.read_bytes() != before:
            raise AssertionError("the WAL was to outlive Litestream")
        if read_database_file(self.database) != database:
            # It was the last to leave, and checkpointed. A process that is killed does not.
            with open(self.database, "r+b") as file:
                file.write(database)
                file.truncate(len(database))

    def _disconnect(self):
        self._release_read_mark()
        self._reader.close()
        self._writer.close()
        self._guard.close()  # last: it keeps the WAL

    # ---- the local state

    def position(self):
        """The newest local txid: a file's name, and the file has to be whole."""
        names = [span for path in (self.local.iterdir() if self.local.is_dir() else ())
                 if (span := ltx.parse_file_name(path.name))]
        if not names:
            return 0
        span = max(names, key=lambda s: s[1])
        self._decode(self.local / ltx.file_name(*span))
        return span[1]

    def _decode(self, path):
        try:
            return ltx.decode(path.read_bytes(), self.replica.readable)
        except (ltx.FormatError, FileNotFoundError) as error:
            raise LitestreamError(f"{path}: {error}") from error

    def _newest(self):
        txid = self.position()
        return self._decode(self.local / ltx.file_name(txid, txid)) if txid else None

    # ---- sync

    def verify(self):
        """Whether the WAL still holds what the newest local file says it ends with."""
        newest = self._newest()
        if newest is None:
            return Decision(full_copy=True)
        header = newest.header
        data = self.wal.read_bytes()
        frame_size = self.page_size + 24
        end = header.wal_offset + header.wal_size
        full_copy = Decision(True, end, header.salts, header.commit)
        incremental = dataclasses.replace(full_copy, full_copy=False)

        def copy_because(reason):
            return dataclasses.replace(full_copy, reason=reason)

        if end > len(data):
            if self._synced_to_end:
                return Decision(False, WAL_HEADER, WalReader(data).salts, header.commit,
                                clear_synced_to_end=True)
            return copy_because("wal truncated by another process")
        salts = WalReader(data).salts
        if end == WAL_HEADER or end - frame_size == WAL_HEADER:
            if salts == header.salts:
                return incremental
            return copy_because("wal header salt reset, snapshotting")
        if end - frame_size < WAL_HEADER:
            raise LitestreamError(f"prev WAL offset is less than the header size: {end}")
        frame = data[end - frame_size:end]
        page_no = int.from_bytes(frame[0:4], "big")
        frame_salts = int.from_bytes(frame[8:12], "big"), int.from_bytes(frame[12:16], "big")
        if frame_salts != header.salts or newest.pages.get(page_no) != frame[24:]:
            return copy_because("last page does not exist in last ltx file, "
                                "wal overwritten by another process")
        if salts == header.salts:
            return incremental
        restarted = Decision(False, WAL_HEADER, salts, header.commit)
        if WalReader(data).frame_salts_until(header.salts) - {salts, header.salts}:
            return dataclasses.replace(
                restarted, full_copy=True,
                reason="full or restart checkpoint detected, snapshotting")
        return restarted

    def sync(self):
        """One tick. What it decided; whether it made a file is in the local folder."""
        self._ensure_wal()
        decision = self._verify_and_sync(MAX_SYNC_BYTES)
        return decision

    def _verify_and_sync(self, max_bytes=0):
        decision = self.verify()
        self.log.append(decision)
        self._cut(decision, max_bytes)
        return decision

    def _cut(self, decision, max_bytes=0):
        if decision.clear_synced_to_end:
            self._synced_to_end = False
        data = self.wal.read_bytes()
        offset = decision.offset
        reader = None
        if offset != WAL_HEADER:
            try:
                reader = WalReader(data, offset, decision.salts)
            except PreviousFrameMismatch:
                offset = WAL_HEADER
        reader = reader or WalReader(data)
        pages, end, commit = reader.page_map(0 if decision.full_copy else max_bytes)
        size = end - offset if end else 0
        if size < 0:
            raise AssertionError("Litestream panics: the WAL's size is negative")
        if not decision.full_copy and size == 0:
            return
        if commit == 0:
            commit = os.stat(self.database).st_size // self.page_size
        wanted = set(pages)
        if decision.full_copy:
            wanted = set(range(1, commit + 1))
        else:
            wanted |= set(range(decision.previous_commit + 1, commit + 1))
        wanted.discard(ltx.lock_page(self.page_size))
        txid = self.position() + 1
        header = ltx.Header(self.page_size, commit, txid, txid, int(self.now() * 1000), offset,
                            size, reader.salts)
        write_file(self.local / ltx.file_name(txid, txid), ltx.encode(
            header, [(page_no, self._page(page_no, reader, pages)) for page_no in sorted(wanted)],
            self.replica.encoding))
        self._synced_offset = offset + size
        self._synced_to_end = self._synced_offset == self.wal.stat().st_size
        self.on_cut(txid)

    def _page(self, page_no, reader, pages):
        if page_no in pages:
            return reader.page_at(pages[page_no])
        page = read_database_file(self.database, (page_no - 1) * self.page_size, self.page_size)
        if len(page) != self.page_size:
            raise LitestreamError(f"read database page {page_no}: EOF")
        return page

    # ---- checkpoints

    def checkpoint(self, mode="PASSIVE"):
        """True if the WAL started over."""
        before = self._wal_header()
        self._verify_and_sync()
        if mode == "PASSIVE":
            self._lock_out_writers()
            self._verify_and_sync()
        self._release_read_mark()
        self._reader.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self._acquire_read_mark()
        if mode == "PASSIVE":
            self._writer.execute("ROLLBACK")
        self._bump()
        after = self._wal_header()
        if after == before:
            return False
        if mode == "PASSIVE":
            self._verify_and_sync()
            return True
        self._lock_out_writers()
        salts = WalReader(self.wal.read_bytes()).salts
        decision = Decision(True, WAL_HEADER, salts, reason="checkpoint boundary snapshot")
        self.log.append(decision)
        self._cut(decision)
        self._writer.execute("ROLLBACK")
        return True

    def _lock_out_writers(self):
        self._writer.execute("BEGIN")
        self._writer.execute("INSERT INTO _litestream_lock (id) VALUES (1)")

    def _wal_header(self):
        with open(self.wal, "rb") as file:
            return file.read(WAL_HEADER)

    # ---- the replica

    def upload(self):
        """Local files from the one that is next in the replica to the newest, one by one."""
        for txid in range(self.replica.max_txid() + 1, self.position() + 1):
            path = self.local / ltx.file_name(txid, txid)
            if not path.exists():
                raise LitestreamError(f"open {path}: no such file or directory")
            self.replica.write(0, path.read_bytes())

    def compact(self, level):
        done = self.replica.compact(level)
        if done and level == 1:
            self.enforce_l0_retention(self.now() - 300)
        return done

    def enforce_l0_retention(self, before):
        for txid in self.replica.enforce_l0_retention(int(before * 1000)):
            (self.local / ltx.file_name(txid, txid)).unlink(missing_ok=True)

    def snapshot(self):
        """From the live database and its WAL, up to what is synced."""
        txid = self.position()
        newest = self._newest().header
        data = self.wal.read_bytes()
        reader = WalReader(data)
        end = self._synced_offset
        if not end:  # since the start nothing was new
            same = reader.salts == newest.salts
            end = newest.wal_offset + newest.wal_size if same else WAL_HEADER
        pages, last, commit = {}, 0, 0
        if end > WAL_HEADER:
            pages, last, commit = reader.page_map(end - WAL_HEADER)
        if commit == 0:
            commit = os.stat(self.database).st_size // self.page_size
        offset, size = WAL_HEADER, 0
        if last > WAL_HEADER:
            offset = max(last - reader.frame_size, WAL_HEADER)
            size = last - offset
        header = ltx.Header(self.page_size, commit, 1, txid, int(self.now() * 1000), offset, size,
                            reader.salts)
        lock = ltx.lock_page(self.page_size)
        self.replica.write(SNAPSHOT_LEVEL, ltx.encode(
            header, [(page_no, self._page(page_no, reader, pages))
                     for page_no in range(1, commit + 1) if page_no != lock],
            self.replica.encoding))
