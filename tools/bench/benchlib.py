"""What the benchmarks in this folder share. Python's standard library and Linux only.

A benchmark compares within one run: what is measured and what it is measured against take turns
(A B, B A, ..), and medians count. Figures of different runs or machines are not comparable.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RUNNEL_BUILD", ROOT / "build/release"))
RUNNEL = BUILD / "src/cli/runnel"
WRITER = BUILD / "tests/apps/app_writer"
MIB = 1024 * 1024


def parser(description):
    p = argparse.ArgumentParser(description=description.strip().split("\n\n")[0])
    p.add_argument("--quick", action="store_true", help="about 10 s; figures are rough")
    p.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    p.add_argument("--dir", help="where to work (default: a new folder in TMPDIR)")
    p.add_argument("--keep", action="store_true", help="leave the files")
    return p


class Workspace:
    """A folder of its own, removed at the end."""

    def __init__(self, args):
        self._keep = args.keep
        if args.dir:
            pathlib.Path(args.dir).mkdir(parents=True, exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="runnel-bench-", dir=args.dir))

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        if self._keep:
            print(f"kept: {self.path}", file=sys.stderr)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def note(text):
    """Progress, for whoever waits; not a figure."""
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- What a process uses ------------------------------------------------------------------------

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time so far; to a tick (10 ms), or to the nanosecond where schedstat is."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        return total / 1e9
    except OSError:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """Bytes: anonymous, resident, and the largest resident so far."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    value = lambda key: int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1]) * 1024
    return {"anonymous": value("RssAnon"), "resident": value("VmRSS"), "peak": value("VmHWM")}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# ---- Daemons ------------------------------------------------------------------------------------


class Daemon:
    """`runnel replicate` (or litestream's), from start to SIGTERM."""

    def __init__(self, command, log):
        self._log = pathlib.Path(log)
        self._out = open(log, "ab")
        self.started = time.monotonic()
        self._process = subprocess.Popen([str(word) for word in command], stdout=self._out,
                                         stderr=subprocess.STDOUT)
        self.pid = self._process.pid

    def check(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"the daemon ended: {self._log.read_text()[-2000:]}")

    def await_true(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: not within {seconds} s; {self._log.read_text()[-2000:]}")
            time.sleep(0.005)

    def stop(self):
        self.check()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(120)
        self._out.close()
        if code != 0:
            raise RuntimeError(f"the daemon did not end well: {self._log.read_text()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def runnel_command(database, replica):
    return [RUNNEL, "replicate", database, f"file://{replica}"]


def litestream_command(database, replica):
    return ["litestream", "replicate", database, f"file://{replica}"]


def peers():
    """Daemons to measure: ours, and Litestream where it is installed."""
    found = {"runnel": runnel_command}
    if shutil.which("litestream"):
        found["litestream"] = litestream_command
    return found


def objects(replica, level=0):
    """Names of a level's objects. Empty before there is a replica."""
    try:
        return sorted(n for n in os.listdir(pathlib.Path(replica) / f"ltx/{level}")
                      if n.endswith(".ltx"))
    except FileNotFoundError:
        return []


def object_timestamp_ms(path):
    """When the object's content was cut (docs/formats/ltx.md, header)."""
    with open(path, "rb") as file:
        return struct.unpack_from(">q", file.read(100), 32)[0]


# ---- inotify ------------------------------------------------------------------------------------


class NameWatch(threading.Thread):
    """Calls `seen(name)` for each name that comes to be in a folder, as it comes."""

    CREATE, MOVED_TO = 0x100, 0x80

    def __init__(self, folder, seen):
        super().__init__(daemon=True)
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        if self._fd < 0 or libc.inotify_add_watch(
                self._fd, os.fsencode(str(folder)), self.CREATE | self.MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._seen = seen

    def run(self):
        while True:
            data = os.read(self._fd, 65536)
            at = 0
            while at < len(data):
                length = struct.unpack_from("iIII", data, at)[3]
                name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
                at += 16 + length
                self._seen(name)


# ---- Figures ------------------------------------------------------------------------------------


def percentile(values, percent):
    """The value that `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


median = statistics.median


def spread(values):
    """From the lower to the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


class Report:
    """Rows of figures, each beside what it is compared with and the limit, if it has one."""

    def __init__(self, name, args, what):
        self.name, self.args, self.what = name, args, what
        self.rows = []
        self.started = time.monotonic()

    def add(self, figure, value, unit="", beside=None, limit=None, most=True, digits=2, **more):
        """`limit` is the most that `value` may be, or the least if not `most`."""
        met = None if limit is None else (value <= limit if most else value >= limit)
        self.rows.append({"figure": figure, "value": value, "unit": unit, "beside": beside,
                          "limit": limit, "limit_is": None if limit is None else
                          ("most" if most else "least"), "met": met, "digits": digits, **more})

    def print(self):
        machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
        if self.args.json:
            rows = [{k: v for k, v in row.items() if k != "digits"} for row in self.rows]
            print(json.dumps({"benchmark": self.name, "quick": self.args.quick,
                              "machine": machine, "figures": rows}, indent=1))
            return
        show = lambda v, digits: "" if v is None else v if isinstance(v, str) else f"{v:,.{digits}f}"
        lines = [("", "measured", "", "beside", "limit", "")]
        for r in self.rows:
            sign = {"most": "<= ", "least": ">= ", None: ""}[r["limit_is"]]
            verdict = {True: "ok", False: "MISSED", None: ""}[r["met"]]
            lines.append((r["figure"], show(r["value"], r["digits"]), r["unit"],
                          show(r["beside"], r["digits"]),
                          sign + show(r["limit"], r["digits"]) if r["limit"] is not None else "",
                          verdict))
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        print(f"{self.name}: {self.what}")
        print(f"{machine['cores']} cores, load {machine['load']}, "
              f"{time.monotonic() - self.started:.0f} s{', quick' if self.args.quick else ''}\n")
        for line in lines:
            aligned = [line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].ljust(widths[2]),
                       line[3].rjust(widths[3]), line[4].rjust(widths[4]), line[5]]
            print("  ".join(aligned).rstrip())
