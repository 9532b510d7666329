"""Litestream, Runnel, the application and an administrator do what they like to one database.

INTEROP_SEEDS=FIRST-LAST says which walks to take.
"""

import os
import random
import signal
import unittest

import ltx_codec as ltx
from litestream_model import Litestream
from wal_reader import WAL_HEADER
from world import World

PROGRAM = os.environ["RUNNEL_PROGRAM"]
FIRST_SEED, LAST_SEED = map(int, os.environ.get("INTEROP_SEEDS", "1-40").split("-"))
STEPS = 14

# Levels, snapshots and retention all happen while a daemon lives for some seconds.
BUSY = ("sync-interval: 20ms\nlevels: [{interval: 1s}, {interval: 2s}]\nl0-retention: 1s\n"
        "snapshot: {interval: 3s, retention: 4s}\n")


class Walk:

    def __init__(self, case, seed):
        self.dice = random.Random(seed)
        self.trace = []
        self.world = World(case, PROGRAM, self.dice.choice((ltx.BLOCK, ltx.FRAME)), seed=seed,
                           page_size=self.dice.choice((512, 1024, 4096)))
        self.kept = None  # a copy of the state folder
        self.made_by_runnel = set()  # txids

    def step(self):
        steps = [(4, self.work), (3, self.litestream), (3, self.runnel), (1, self.daemon)]
        if self.world.history:
            steps.append((1, self.administrator))
        act = self.dice.choices([f for _, f in steps], [weight for weight, _ in steps])[0]
        self.trace.append(act.__name__)
        act()

    def did(self, what):
        self.trace.append(f"  {what}")

    # ---- the application

    def work(self):
        for _ in range(self.dice.randrange(1, 4)):
            self.work_once()

    def work_once(self):
        what = self.dice.choices(("write", "much", "shrink", "checkpoint", "reopen"),
                                 (8, 2, 1, 3, 2))[0]
        self.did(what)
        world = self.world
        if what == "write":
            world.write(self.dice.randrange(1, 4), self.dice.choice((30, 400, 2000)))
        elif what == "much":
            world.write(40)
        elif what == "shrink":
            world.shrink()
        elif what == "checkpoint":
            world.checkpoint(self.dice.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE")))
        else:
            world.close_app()
            world.open_app()

    # ---- Litestream

    def litestream(self):
        world = self.world
        run = world.litestream()
        if self.would_be_litestreams_mistake(run):
            self.did("not started, it would lose commits")
            run.kill()
            return
        run.sync()  # before a commit can start the WAL over
        for _ in range(self.dice.randrange(1, 6)):
            if self.dice.random() < 0.7:
                world.write(self.dice.randrange(1, 4))
            what = self.dice.choices(
                ("sync", "upload", "checkpoint", "truncate", "compact 1", "compact 2", "snapshot"),
                (6, 4, 2, 1, 2, 1, 1))[0]
            self.did(what)
            run.sync()
            if what == "upload":
                run.upload()
            elif what == "checkpoint":
                run.checkpoint()
            elif what == "truncate":
                run.checkpoint("TRUNCATE")
            elif what.startswith("compact"):
                run.compact(int(what[-1]))
            elif what == "snapshot":
                run.upload()
                run.snapshot()
        if self.dice.random() < 0.3:
            self.did("killed")
            run.kill()
        else:
            run.close()
            world.check()

    def would_be_litestreams_mistake(self, run: Litestream):
        """It believes a new generation of the WAL to be all that happened. After a file of Runnel's
        it never may."""
        newest = run.position()
        decision = run.verify()
        restarted = not decision.full_copy and decision.offset == WAL_HEADER
        return restarted and newest not in self.made_by_runnel and newest > 0

    # ---- Runnel

    def runnel(self):
        world = self.world
        before = self.txids()
        world.runnel_once()
        self.made_by_runnel |= self.txids() - before
        world.check()

    def daemon(self):
        world = self.world
        before = self.txids()
        world.start_runnel(BUSY)
        for _ in range(self.dice.randrange(1, 12)):
            self.work_once()
            if self.dice.random() < 0.5:
                world.await_caught_up()
        if self.dice.random() < 0.5:
            self.did("killed")
            world.stop_runnel(signal.SIGKILL)
            self.made_by_runnel |= self.txids() - before
        else:
            world.stop_runnel()
            self.made_by_runnel |= self.txids() - before
            world.expect_caught_up()
            world.check()

    def txids(self):
        local = self.world.state / "ltx" / "0"
        names = list(local.iterdir()) if local.is_dir() else []
        return ({ltx.parse_file_name(path.name)[1] for path in names
                 if ltx.parse_file_name(path.name)} |
                {file.last for file in self.world.replica.list(0)})

    # ---- the administrator, while nobody runs

    def administrator(self):
        world = self.world
        if not world.state.is_dir():
            return
        remote = world.newest()
        local = self.txids()
        what = self.dice.choice(("keep", "put back", "lose"))
        self.did(what)
        if what == "keep":
            if max(local) <= remote:
                self.kept = world.keep_state()
            return
        if what == "put back" and not self.kept:
            return
        # What was in no replica is forgotten, and its numbers are given again.
        world.forget_after(remote)
        self.made_by_runnel = {txid for txid in self.made_by_runnel if txid <= remote}
        if what == "lose":
            world.lose_state()
        else:
            world.put_back_state(self.kept)


class RandomHandOverSlowTest(unittest.TestCase):

    def test_walks(self):
        for seed in range(FIRST_SEED, LAST_SEED + 1):
            with self.subTest(seed=seed):
                walk = Walk(self, seed)
                try:
                    for _ in range(STEPS):
                        walk.step()
                    walk.runnel()
                    walk.world.check_history()
                except BaseException:
                    print(f"seed {seed}:", *walk.trace, sep="\n  ")
                    raise
                finally:
                    self.doCleanups()


if __name__ == "__main__":
    unittest.main()
