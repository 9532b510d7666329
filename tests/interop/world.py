"""A user's machine on which Litestream and Runnel take turns, and what must be true after each."""

import hashlib
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import ltx_codec as ltx
from file_replica import SNAPSHOT_LEVEL, FileReplica, NotAvailable
from litestream_model import Litestream
from live_files import read_database_file

PATIENCE = 30  # seconds, for what a daemon is to do soon


class World:
    """One database, one application, one replica. `history` has the database as it was at each txid
    that anybody made, taken from SQLite and from nobody's LTX files."""

    def __init__(self, case, program, encoding, seed=1, page_size=1024):
        self.case = case
        self.program = program
        self.random = random.Random(seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runnel-interop-"))
        case.addCleanup(shutil.rmtree, self.folder)
        self.database = self.folder / "app.db"
        self.state = self.folder / ".app.db-litestream"
        self.replica = FileReplica(self.folder / "replica", encoding)
        self.history = {}
        self._seen = {}
        self._decoded = {}
        self._daemon = None
        self.app = None
        case.addCleanup(self._end)
        self.open_app()
        self.app.execute(f"PRAGMA page_size={page_size}")
        self.app.execute("PRAGMA journal_mode=wal")
        self.app.execute("CREATE TABLE t(x INTEGER PRIMARY KEY, y BLOB)")
        self.write(20)

    def _end(self):
        if self._daemon:
            self._daemon.kill()
            self._daemon.communicate()
        self.close_app()

    # ---- the application

    def open_app(self):
        self.app = sqlite3.connect(self.database, timeout=10, isolation_level=None)
        self.app.execute("PRAGMA wal_autocheckpoint=0")

    def close_app(self):
        if self.app:
            self.app.close()
            self.app = None

    def write(self, rows=1, size=400):
        """One transaction."""
        self.app.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            self.app.execute("INSERT OR REPLACE INTO t VALUES (?, ?)",
                             (self.random.randrange(300), self.random.randbytes(size)))
        self.app.execute("COMMIT")

    def write_until_the_wal_starts_over(self):
        """Somebody checkpoints, with pauses of ours for it."""
        wal = pathlib.Path(f"{self.database}-wal")
        salts = wal.read_bytes()[16:24]

        def started_over():
            self.write(2)
            return wal.read_bytes()[16:24] != salts
        self._eventually(started_over, "the WAL does not start over")

    def shrink(self):
        self.app.execute("DELETE FROM t WHERE x % 3")
        self.app.execute("VACUUM")

    def checkpoint(self, mode):
        """Whether it got through to the end of the WAL."""
        busy, frames, done = self.app.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return not busy and frames == done

    def image(self):
        """The database file as it would be now, were its WAL copied back: SQLite says so."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "copy.db"
            copy.write_bytes(read_database_file(self.database))
            wal = pathlib.Path(f"{self.database}-wal")
            if wal.exists():
                pathlib.Path(f"{copy}-wal").write_bytes(wal.read_bytes())
            connection = sqlite3.connect(copy)
            try:
                return connection.serialize()
            finally:
                connection.close()

    def replace_database(self, image):
        self.close_app()
        for suffix in ("", "-wal", "-shm"):
            pathlib.Path(f"{self.database}{suffix}").unlink(missing_ok=True)
        self.database.write_bytes(image)
        self.open_app()

    def lose_power(self, wal_bytes):
        """Of the WAL only `wal_bytes` had reached the disk. No Litestream may be at work."""
        wal = pathlib.Path(f"{self.database}-wal")
        kept, database = wal.read_bytes()[:wal_bytes], read_database_file(self.database)
        self.close_app()
        self.database.write_bytes(database)
        wal.write_bytes(kept)
        pathlib.Path(f"{self.database}-shm").unlink(missing_ok=True)
        self.open_app()

    # ---- Litestream

    def litestream(self, **options):
        return Litestream(self.database, self.replica, on_cut=self.record, **options)

    def record(self, txid):
        image = self.image()
        self.case.assertEqual(self.history.setdefault(txid, image), image,
                              f"txid {txid} was given to another state before")

    # ---- Runnel

    def _config(self, more):
        path = self.folder / "runnel.yml"
        path.write_text(f"page-encoding: {self.replica.encoding}\n{more}dbs:\n"
                        f"  - path: {self.database}\n    min-checkpoint-page-count: 100\n"
                        f"    replica: {{url: 'file://{self.replica.root}'}}\n", encoding="utf-8")
        return path

    def _run(self, *arguments):
        return subprocess.run([self.program, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, text=True, check=False)

    def runnel_once(self, more=""):
        """Brings the replica up to date; returns what it logged."""
        done = self._run("replicate", "-config", str(self._config(more)), "-once")
        self.case.assertEqual(done.returncode, 0, done.stdout)
        self.expect_caught_up()
        return done.stdout

    def start_runnel(self, more=""):
        self._daemon = subprocess.Popen(
            [self.program, "replicate", "-config", str(self._config(more))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.case.assertIn("msg=runnel", self._daemon.stdout.readline())  # it handles signals now

    def stop_runnel(self, with_signal=signal.SIGTERM):
        """What it logged."""
        self._daemon.send_signal(with_signal)
        out, _ = self._daemon.communicate(timeout=60)
        expected = 0 if with_signal == signal.SIGTERM else -with_signal
        self.case.assertEqual(self._daemon.returncode, expected, out)
        self._daemon = None
        return out

    def await_caught_up(self):
        self._eventually(self._caught_up, "the replica is not what the database is")

    def _eventually(self, condition, message):
        limit = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > limit:
                self.case.fail(message)
            if self._daemon and self._daemon.poll() is not None:
                self.case.fail(self._daemon.communicate()[0])
            time.sleep(0.02)

    def _caught_up(self):
        try:
            txid, restored = self.replica.restore()
        except (NotAvailable, FileNotFoundError):
            return False  # a daemon is at work on it
        if restored != self.image():
            return False
        self.record(txid)
        return True

    def expect_caught_up(self):
        txid, restored = self.replica.restore()
        self.case.assertTrue(restored == self.image(), f"the replica at {txid} is another database")
        self.record(txid)

    def forget_after(self, txid):
        """Of larger txids nothing is left: they are given again."""
        self.history = {known: image for known, image in self.history.items() if known <= txid}
        self._seen = {(level, name): key for (level, name), key in self._seen.items()
                      if level != 0 or ltx.parse_file_name(name)[1] <= txid}

    # ---- the state folder

    def keep_state(self):
        """A copy of the state folder as it is now, to be put back later."""
        kept = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "state"
        shutil.copytree(self.state, kept)
        return kept

    def put_back_state(self, kept):
        shutil.rmtree(self.state)
        shutil.copytree(kept, self.state)

    def lose_state(self):
        shutil.rmtree(self.state)

    def newest(self):
        return self.replica.max_txid()

    def cut_at(self, txid):
        """The local file; the replica's is the same."""
        return self._decode(self.state / "ltx" / "0" / ltx.file_name(txid, txid))[1]

    # ---- what has to be true

    def _decode(self, path):
        data = path.read_bytes()
        key = hashlib.sha256(data).digest()
        if key not in self._decoded:
            self._decoded[key] = ltx.decode(data, self.replica.readable)
        return key, self._decoded[key]

    def check_files(self):
        """Every file is one that Litestream reads, under its name, and never becomes another."""
        case = self.case
        self._check_strays()
        for level in range(SNAPSHOT_LEVEL + 1):
            for file in self.replica.list(level):
                key, decoded = self._decode(file.path)
                header = decoded.header
                case.assertEqual((header.min_txid, header.max_txid), (file.first, file.last), file)
                case.assertEqual(header.timestamp, file.created, file)
                case.assertEqual(header.flags, ltx.NO_CHECKSUM, file)
                case.assertEqual(header.node_id, 0, file)
                if level == 0:
                    case.assertEqual(file.first, file.last, file)
                case.assertEqual(self._seen.setdefault((level, file.path.name), key), key,
                                 f"{file.path} became another file")
            self._check_contiguous(level)
        self._check_local_files()

    def _check_local_files(self):
        case = self.case
        local = self.state / "ltx" / "0"
        replaced = False  # by newer pages, all of them
        snapshots = [file.last for file in self.replica.list(SNAPSHOT_LEVEL)]
        for path in sorted(local.iterdir(), reverse=True) if local.is_dir() else ():
            span = ltx.parse_file_name(path.name)
            case.assertIsNotNone(span, path)
            key, decoded = self._decode(path)
            case.assertEqual((decoded.header.min_txid, decoded.header.max_txid), span)
            if not replaced and span[1] not in snapshots:
                case.assertEqual(self._seen.setdefault((0, path.name), key), key,
                                 f"{path} is not what was made under this name before")
            replaced |= len(decoded.pages) == decoded.header.commit or span[1] in snapshots

    def _check_strays(self):
        """Litestream sees nothing of ours."""
        for path in self.replica.root.iterdir():
            self.case.assertIn(path.name, ("ltx", "runnel"))
        for path in (self.replica.root / "ltx").iterdir():
            self.case.assertIn(path.name, [str(level) for level in range(SNAPSHOT_LEVEL + 1)])
            for file in path.iterdir():
                if file.suffix != ".tmp":  # what a killed writer leaves
                    self.case.assertIsNotNone(ltx.parse_file_name(file.name), file)

    def _check_contiguous(self, level):
        files = self.replica.list(level)
        if level == 0:  # what is in level 1 may go in any order
            compacted = self.replica.max_txid(1)
            files = [file for file in files if file.last >= compacted]
        if level == SNAPSHOT_LEVEL:
            for file in files:
                self.case.assertEqual(file.first, 1, file)
            return
        # A snapshot of ours may take the place of files that are gone
        # (docs/formats/store-layout.md).
        bridges = [file.last for file in self.replica.list(SNAPSHOT_LEVEL)]
        for before, after in zip(files, files[1:]):
            if after.first - 1 not in bridges:
                self.case.assertEqual(before.last + 1, after.first,
                                      f"{before.path} and {after.path}")

    def check_newest(self):
        """Early and late versions of Litestream find the newest recorded state."""
        newest = max(self.history)
        for plan in (self.replica.plan(), self.replica.plan_of_early_versions()):
            txid, restored = self.replica.restore(plan=plan)
            self.case.assertEqual(txid, newest)
            self.case.assertTrue(restored == self.history[newest], f"txid {txid}")

    def check(self):
        self.check_files()
        self.check_newest()

    def check_history(self):
        """Each txid that Litestream can restore is what was recorded, by Litestream and by us."""
        restorable = 0
        for txid, image in sorted(self.history.items()):
            try:
                _, restored = self.replica.restore(txid)
            except NotAvailable:
                continue
            restorable += 1
            self.case.assertTrue(restored == image, f"Litestream's restore of txid {txid}")
            self.case.assertTrue(self.restore(txid) == image, f"our restore of txid {txid}")
        self.case.assertGreater(restorable, 0)
        self.case.assertTrue(self.restore() == self.history[max(self.history)], "our newest")
        verified = self._run("verify", f"file://{self.replica.root}")
        self.case.assertEqual(verified.returncode, 0, verified.stdout)

    def restore(self, txid=None):
        output = self.folder / "restored.db"
        done = self._run("restore", *(["-txid", f"{txid:016x}"] if txid else []), "-o",
                         str(output), f"file://{self.replica.root}")
        self.case.assertEqual(done.returncode, 0, done.stdout)
        restored = output.read_bytes()
        os.unlink(output)
        return restored
