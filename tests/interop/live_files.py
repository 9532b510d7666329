"""What has to be right beside SQLite: descriptors, and a WAL that outlives its users."""

import ctypes
import os

_SQLITE_OK = 0
_OPEN_READWRITE = 2
_FCNTL_PERSIST_WAL = 10

_held = {}


def read_database_file(path, offset=0, size=None):
    """From the file itself, not through SQLite. The descriptor is never closed: that would drop all
    locks that SQLite in this process has on the file."""
    found = os.stat(path)
    key = (found.st_dev, found.st_ino)
    if key not in _held:
        _held[key] = os.open(path, os.O_RDONLY)
    return os.pread(_held[key], found.st_size if size is None else size, offset)


def _loaded_sqlite():
    """The library that Python's sqlite3 uses. A second copy would not know of its locks."""
    import sqlite3  # pylint: disable=unused-import,import-outside-toplevel
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            if "libsqlite3.so" in line:
                return ctypes.CDLL(line.split()[-1])
    raise RuntimeError("this Python has SQLite compiled in; the tests need the shared library")


class PersistentWal:
    """A connection with SQLITE_FCNTL_PERSIST_WAL set, which Python's sqlite3 cannot do. If it is
    the last one to be closed, it checkpoints, and leaves the WAL as it is."""

    _library = None

    def __init__(self, path):
        if PersistentWal._library is None:
            PersistentWal._library = _loaded_sqlite()
        self._connection = ctypes.c_void_p()
        self._check(self._library.sqlite3_open_v2(
            os.fsencode(path), ctypes.byref(self._connection), _OPEN_READWRITE, None))
        self._library.sqlite3_busy_timeout(self._connection, 5000)
        yes = ctypes.c_int(1)
        self._check(self._library.sqlite3_file_control(
            self._connection, b"main", _FCNTL_PERSIST_WAL, ctypes.byref(yes)))
        self._check(self._library.sqlite3_exec(  # without a read, its close does nothing
            self._connection, b"SELECT count(*) FROM sqlite_schema", None, None, None))

    def close(self):
        self._check(self._library.sqlite3_close_v2(self._connection))

    @staticmethod
    def _check(code):
        if code != _SQLITE_OK:
            raise RuntimeError(f"SQLite error {code}")
