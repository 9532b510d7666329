"""Litestream, Runnel, Litestream, Runnel: from each state in which Litestream can leave a machine.

RUNNEL_PROGRAM names the program. A mistake of Litestream's own that is known is not asked of Runnel
to mend, but must not become one of ours.
"""

import os
import shutil
import signal
import sqlite3
import unittest

import ltx_codec as ltx
from litestream_model import Litestream
from world import World

PROGRAM = os.environ["RUNNEL_PROGRAM"]

CONTINUES = "goes on where the WAL was left"
CONTINUES_WITH_COMMITS = "goes on, and there are commits that are not in a file yet"
COPIES = "sends every page"
BRIDGES = "sends every page, as a snapshot where a single file would not follow what is there"


# ---- states that Litestream leaves: each returns what Runnel is to do with it --------------------


def fresh(world):
    run = world.litestream()
    run.sync()
    run.close()
    return CONTINUES


def after_a_while(world):
    """Checkpoints, two levels, a snapshot, L0 files deleted on both sides."""
    run = world.litestream()
    for i in range(1, 13):
        world.write(3)
        run.sync()
        run.upload()
        if i == 6:
            run.checkpoint()
            run.snapshot()
        if i % 3 == 0:
            run.compact(1)
        if i % 6 == 0:
            run.compact(2)
    run.enforce_l0_retention(run.now() + 1)
    run.close()
    world.case.assertEqual(len(world.replica.list(0)), 1)
    return CONTINUES


def killed_with_uploads_pending(world):
    run = world.litestream()
    run.sync()
    run.upload()
    for _ in range(3):
        world.write()
        run.sync()
    run.kill()
    return CONTINUES


def nothing_uploaded(world):
    run = world.litestream()
    for _ in range(3):
        world.write()
        run.sync()
    run.kill()
    return CONTINUES


def killed_with_commits_pending(world):
    run = world.litestream()
    run.sync()
    run.upload()
    world.write(2)
    run.kill()
    return CONTINUES_WITH_COMMITS


def newest_is_a_full_copy(world):
    run = world.litestream()
    run.sync()
    run.checkpoint("TRUNCATE")
    world.case.assertIn("boundary", run.log[-1].reason)
    run.close()
    return CONTINUES


def shrunk(world):
    run = world.litestream()
    run.sync()
    world.write(30)
    run.sync()
    world.shrink()
    run.sync()
    run.close()
    return CONTINUES


def stale_state_folder(world):
    run = world.litestream()
    run.sync()
    run.upload()
    kept = world.keep_state()
    for _ in range(3):
        world.write()
        run.sync()
    run.close()
    world.put_back_state(kept)
    return COPIES


def missing_state_folder(world):
    after_a_while(world)
    world.lose_state()
    return COPIES


def torn_newest_local_file(world):
    killed_with_uploads_pending(world)
    newest = max((world.state / "ltx" / "0").iterdir())
    os.truncate(newest, newest.stat().st_size // 2)
    world.history.pop(ltx.parse_file_name(newest.name)[1])  # it was in no replica
    return CONTINUES_WITH_COMMITS


def replica_lost(world):
    """The local files go back to txid 1, so that nothing is missing."""
    killed_with_uploads_pending(world)
    shutil.rmtree(world.replica.root)
    return CONTINUES


def another_history_under_the_same_number(world):
    """A file that was not uploaded comes back after its number was given to another state."""
    run = world.litestream()
    run.sync()
    run.upload()
    world.write()
    run.sync()
    run.kill()
    kept = world.keep_state()
    world.lose_state()
    world.forget_after(world.newest())
    world.write()
    run = world.litestream()
    run.close()
    world.case.assertEqual(world.newest(), 2)
    world.check()
    world.put_back_state(kept)
    return BRIDGES


def another_machine_wrote_the_same_number(world):
    """It restored the replica and went on from there, while a file of ours was not uploaded yet."""
    run = world.litestream()
    run.sync()
    run.upload()
    world.write()
    run.sync()
    run.kill()
    world.forget_after(1)
    other = world.folder / "other"
    other.mkdir()
    database = other / "app.db"
    database.write_bytes(world.replica.restore()[1])
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("DELETE FROM t WHERE x % 2")
    connection.execute("UPDATE t SET y = zeroblob(300)")
    Litestream(database, world.replica).close()
    connection.close()
    world.case.assertEqual(world.newest(), 2)
    return BRIDGES


def replica_lost_and_local_files_pruned(world):
    after_a_while(world)
    shutil.rmtree(world.replica.root)
    newest = max(world.history)
    world.history = {newest: world.history[newest]}
    return BRIDGES


def wal_deleted_by_the_last_close(world):
    run = world.litestream()
    run.sync()
    run.close()
    world.write(2)
    world.close_app()
    world.case.assertFalse((world.folder / "app.db-wal").exists())
    world.open_app()
    return COPIES


def wal_truncated(world):
    run = world.litestream()
    run.sync()
    run.close()
    world.write(2)
    world.case.assertTrue(world.checkpoint("TRUNCATE"))
    return COPIES


def wal_started_over(world):
    """The frames of before are still there, behind those of the new generation."""
    run = world.litestream()
    world.write(10)
    run.sync()
    run.close()
    world.write()
    world.case.assertTrue(world.checkpoint("PASSIVE"))
    world.write()
    return COPIES


def power_loss_and_other_commits(world):
    """The application was at NORMAL. What it does again is not quite the same, but for the page
    that Litestream looks at."""
    world.app.execute("CREATE TABLE a(x)")
    world.app.execute("CREATE TABLE b(x)")
    world.app.execute("INSERT INTO a VALUES (0)")
    world.app.execute("INSERT INTO b VALUES (0)")
    run = world.litestream()
    run.sync()
    wal_bytes = run.wal.stat().st_size
    world.app.executescript("BEGIN; UPDATE a SET x = 1; UPDATE b SET x = 1; COMMIT")
    run.sync()
    run.upload()
    run.kill()
    world.lose_power(wal_bytes)
    world.app.executescript("BEGIN; UPDATE a SET x = 2; UPDATE b SET x = 1; COMMIT")
    run = world.litestream()
    world.case.assertFalse(run.sync().full_copy, "a mistake of Litestream's")
    run.kill()
    return COPIES


def database_restored_to_an_earlier_state(world):
    run = world.litestream()
    run.sync()
    early = run.position()
    world.write(5)
    run.sync()
    run.close()
    world.replace_database(world.history[early])
    return COPIES


STATES = (fresh, after_a_while, killed_with_uploads_pending, nothing_uploaded,
          killed_with_commits_pending, newest_is_a_full_copy, shrunk, stale_state_folder,
          missing_state_folder, torn_newest_local_file, replica_lost,
          another_history_under_the_same_number, another_machine_wrote_the_same_number,
          replica_lost_and_local_files_pruned,
          wal_deleted_by_the_last_close, wal_truncated, wal_started_over,
          power_loss_and_other_commits,
          database_restored_to_an_earlier_state)


# ---- the hand-overs ------------------------------------------------------------------------------


class HandOverCase(unittest.TestCase):

    def take_over(self, world, expected):
        """Runnel's first run on what is there."""
        before = max(world.history, default=0)
        world.runnel_once()
        world.check()
        if expected == BRIDGES:
            newest = max(world.history)
            if newest not in [file.last for file in world.replica.list(9)]:
                cut = world.cut_at(newest)
                self.assertEqual(len(cut.pages), cut.header.commit, "not every page was sent")
            return
        newest = world.newest()
        if expected == CONTINUES:
            self.assertEqual(newest, before)
            return
        self.assertEqual(newest, before + 1)
        cut = world.cut_at(newest)
        if expected == COPIES:
            self.assertEqual(len(cut.pages), cut.header.commit, "not every page was sent")
        else:
            self.assertLess(len(cut.pages), cut.header.commit, "every page was sent")

    def go_on(self, world):
        """Runnel is alone for a while."""
        for _ in range(2):
            world.write(2)
            before = max(world.history)
            world.runnel_once()
            newest = max(world.history)
            self.assertEqual(newest, before + 1)
            cut = world.cut_at(newest)
            self.assertLess(len(cut.pages), cut.header.commit)
        world.check()

    def give_back(self, world, wrote, bridged):
        """Litestream goes on from what Runnel left."""
        before = world.newest()
        run = world.litestream()
        self.assertEqual(run.position(), before)
        if wrote:
            world.write()
        decision = run.sync()
        self.assertFalse(decision.full_copy, decision)
        self.assertEqual(run.position(), before + 1)  # it reads the generation again
        run.upload()
        world.check()
        for i in range(4):
            world.write(2)
            run.sync()
            run.upload()
            if i == 1:
                run.checkpoint()
            if not bridged:
                run.compact(1)
        if not bridged:
            run.compact(2)
        run.snapshot()
        run.close()
        world.check()
        self.assertGreaterEqual(world.newest(), before + 4)

    def hand_over(self, state, encoding, wrote):
        world = World(self, PROGRAM, encoding)
        expected = state(world)
        if wrote:
            world.write(2)
            if expected == CONTINUES:
                expected = CONTINUES_WITH_COMMITS
        self.take_over(world, expected)
        self.go_on(world)
        # Litestream does not merge across the hole in the numbers before a snapshot of ours. Files
        # pile up, and nothing else, until retention has deleted what lies before the hole.
        self.give_back(world, wrote, bridged=expected == BRIDGES)
        self.take_over(world, CONTINUES)
        self.go_on(world)
        world.check_history()


def _add(suite, state, encoding, wrote):
    def test(self):
        self.hand_over(state, encoding, wrote)
    name = f"test_{state.__name__}_{'with' if wrote else 'without'}_writes_{encoding}"
    setattr(suite, name, test)


class GivenBackTest(unittest.TestCase):
    """What Runnel leaves in special states, Litestream goes on from."""

    def give_back(self, world):
        run = world.litestream()
        decision = run.sync()
        run.close()
        world.check()
        world.check_history()
        return decision

    def test_killed_when_the_wal_had_started_over_since_the_last_cut(self):
        world = World(self, PROGRAM, ltx.BLOCK)
        world.write(20)
        world.runnel_once()
        world.start_runnel("sync-interval: 1h\n")
        world.await_caught_up()
        world.write(5)  # the first after a pause is cut at once
        world.await_caught_up()
        newest = world.newest()
        world.write_until_the_wal_starts_over()
        world.stop_runnel(signal.SIGKILL)
        self.assertEqual(world.newest(), newest)
        self.assertTrue(self.give_back(world).full_copy)

    def test_killed_with_commits_that_are_not_cut(self):
        world = World(self, PROGRAM, ltx.FRAME)
        world.runnel_once()
        world.start_runnel("sync-interval: 1h\n")
        world.write()
        world.await_caught_up()
        world.write(3)
        world.stop_runnel(signal.SIGKILL)
        self.assertFalse(self.give_back(world).full_copy)

    def test_the_page_of_the_last_frame_is_as_before(self):
        """A comparison after lost continuity does not send it again."""
        world = World(self, PROGRAM, ltx.BLOCK)
        world.app.execute("CREATE TABLE u(x INTEGER PRIMARY KEY, y)")
        world.app.execute("INSERT INTO u VALUES(1, 'a')")
        world.runnel_once()
        self.assertTrue(world.checkpoint("PASSIVE"))
        world.write(3)
        world.app.execute("UPDATE u SET y = 'b'")
        world.app.execute("UPDATE u SET y = 'a'")
        world.runnel_once()
        (page_no,) = world.app.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'u'")
        self.assertNotIn(page_no[0], world.cut_at(world.newest()).pages)
        self.assertFalse(self.give_back(world).full_copy)

    def test_wal_deleted_by_the_last_close(self):
        world = World(self, PROGRAM, ltx.FRAME)
        world.runnel_once()
        world.write()
        world.close_app()
        world.runnel_once()
        world.open_app()
        self.assertTrue(self.give_back(world).full_copy)

    def test_wal_truncated_and_written_again(self):
        world = World(self, PROGRAM, ltx.BLOCK)
        world.runnel_once()
        self.assertTrue(world.checkpoint("TRUNCATE"))
        world.runnel_once()
        world.write()
        self.assertTrue(self.give_back(world).full_copy)

    def test_another_machine_was_outvoted_and_nothing_was_written_since(self):
        """Litestream sends the local files that the replica lacks, and merges them with the other
        history that is still there."""
        world = World(self, PROGRAM, ltx.BLOCK)
        another_machine_wrote_the_same_number(world)
        world.write()
        world.runnel_once()
        run = world.litestream()
        run.sync()
        run.upload()
        world.write()
        run.sync()
        run.upload()
        run.compact(1)
        run.close()
        world.check_newest()
        self.assertTrue(world.restore() == world.image())

    def test_restored_by_litestream_on_another_machine(self):
        world = World(self, PROGRAM, ltx.FRAME)
        for _ in range(3):
            world.write(3)
            world.runnel_once()
        world.lose_state()
        world.replace_database(world.replica.restore()[1])
        world.write()
        self.assertTrue(self.give_back(world).full_copy)
        world.write()
        world.runnel_once()
        world.check()
        world.check_history()

    def test_state_folder_lost_or_stale(self):
        for harm in (lambda world, kept: world.lose_state(),
                     lambda world, kept: world.put_back_state(kept)):
            world = World(self, PROGRAM, ltx.BLOCK)
            world.runnel_once()
            kept = world.keep_state()
            world.write()
            world.runnel_once()
            harm(world, kept)
            world.write()
            self.give_back(world)


class InheritedMistakeTest(unittest.TestCase):

    def test_commits_that_litestream_lost_are_found_by_the_proof(self):
        """It took a short new generation of the WAL for all that happened; nothing in its files
        tells. The replica comes right with the next commit."""
        world = World(self, PROGRAM, ltx.BLOCK)
        run = world.litestream()
        run.sync()
        world.write(10)
        run.sync()
        run.close()
        world.write()
        self.assertTrue(world.checkpoint("PASSIVE"))
        world.write()
        run = world.litestream()
        self.assertFalse(run.sync().full_copy)
        run.close()
        self.assertFalse(world.replica.restore()[1] == world.image())
        world.history.clear()
        world.start_runnel()
        world.write()
        world.await_caught_up()
        log = world.stop_runnel()
        # A page does, if it comes to that before the sums of a chain do.
        self.assertRegex(log, "differs from the replica|do not add up")
        world.check_newest()


class HandOverTest(HandOverCase):
    """Each state once; encodings and writes take turns."""


class EveryHandOverSlowTest(HandOverCase):
    """Each state with each encoding, with and without writes while nobody looked."""


for _number, _state in enumerate(STATES):
    _add(HandOverTest, _state, (ltx.BLOCK, ltx.FRAME)[_number % 2], _number % 4 >= 2)
    for _encoding in (ltx.BLOCK, ltx.FRAME):
        _add(EveryHandOverSlowTest, _state, _encoding, False)
        _add(EveryHandOverSlowTest, _state, _encoding, True)


if __name__ == "__main__":
    unittest.main()
