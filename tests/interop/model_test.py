"""The tools of these tests, tested: the codec against known bytes, the model against SQLite."""

import os
import pathlib
import random
import struct
import unittest

import ltx_codec as ltx
from file_replica import NotAvailable
from litestream_model import LitestreamError
from wal_reader import WAL_HEADER
from world import World

TESTDATA = pathlib.Path(__file__).parents[2] / "testdata" / "ltx"


class CodecTest(unittest.TestCase):

    def test_checksums_have_their_published_values(self):
        self.assertEqual(ltx.crc64(b"123456789"), 0xB90956C775A41001)
        self.assertEqual(ltx.database_checksum({n: bytes([n]) * 512 for n in (1, 2, 3)}, 512),
                         0xEFFFFFFFECD99000)
        self.assertEqual(ltx.page_checksum(1, bytes(4096)), 0xD9328F592D9E733D)
        self.assertEqual(ltx.xxh32(b""), 0x02CC5D05)
        self.assertEqual(ltx.xxh32(b"abc"), 0x32D153FF)

    def test_golden_files_are_read_and_made(self):
        for form in (ltx.BLOCK, ltx.FRAME):
            with self.subTest(form):
                golden = (TESTDATA / f"golden-{form}.ltx").read_bytes()
                file = ltx.decode(golden)
                self.assertEqual(file.encodings, {form})
                self.assertEqual(file.pages, {1: b"A" * 512})
                self.assertEqual((file.header.wal_offset, file.header.wal_size), (32, 536))
                self.assertEqual(file.header.salts, (0x11111111, 0x22222222))
                self.assertEqual(ltx.encode(file.header, file.pages.items(), form), golden)

    def test_pages_of_every_kind_come_back(self):
        dice = random.Random(5)
        for size in (512, 4096, 65536):
            pages = {1: bytes(size), 2: dice.randbytes(size), 3: b"ab" * (size // 2),
                     5: dice.randbytes(size // 2) + bytes(size // 2),
                     7: b"".join(bytes([dice.randrange(256)]) * dice.randrange(1, 40)
                                 for _ in range(size))[:size]}
            header = ltx.Header(size, 9, 2, 4, 5)
            for form in (ltx.BLOCK, ltx.FRAME):
                with self.subTest(f"{size} {form}"):
                    file = ltx.decode(ltx.encode(header, pages.items(), form))
                    self.assertEqual((file.header, file.pages), (header, pages))

    def test_no_shortened_file_and_no_flipped_bit_gives_other_pages(self):
        for form in (ltx.BLOCK, ltx.FRAME):
            golden = (TESTDATA / f"golden-{form}.ltx").read_bytes()
            for length in range(len(golden)):
                with self.assertRaises(ltx.FormatError, msg=f"{form} {length}"):
                    ltx.decode(golden[:length])
            for bit in range(8 * len(golden)):
                damaged = bytearray(golden)
                damaged[bit // 8] ^= 1 << bit % 8
                try:  # the compressed bytes are not covered by a checksum, only what they give
                    pages = ltx.decode(bytes(damaged)).pages
                except ltx.FormatError:
                    continue
                self.assertEqual(pages, ltx.decode(golden).pages, f"{form} bit {bit}")

    def test_early_versions_refuse_blocks(self):
        with self.assertRaises(ltx.FormatError):
            ltx.decode((TESTDATA / "golden-block.ltx").read_bytes(), readable=(ltx.FRAME,))

    def test_what_the_encoder_of_litestream_refuses(self):
        def encode(first, *page_nos, commit=3):
            header = ltx.Header(512, commit, first, first, 0)
            return ltx.encode(header, [(n, bytes(512)) for n in page_nos], ltx.BLOCK)
        encode(1, 1, 2, 3)
        encode(2, 1, 3)
        for wrong in ((1, 1, 3), (1, 2, 3), (2, 3, 1), (2, 4), (2, 2, 2)):
            with self.assertRaises(ltx.FormatError, msg=wrong):
                encode(*wrong)
        with self.assertRaises(ltx.FormatError):
            ltx.decode(encode(1, 1, 2))  # Litestream notices when it restores
        with self.assertRaises(ltx.FormatError):
            encode(2, ltx.lock_page(512), commit=1 << 22)


class ModelTest(unittest.TestCase):
    """Litestream alone. `World.record` asks SQLite."""

    def world(self, encoding=ltx.BLOCK, **options):
        return World(self, "/no/program", encoding, **options)

    def expect_history(self, world):
        for txid, image in world.history.items():
            self.assertTrue(world.replica.restore(txid)[1] == image, txid)
        world.check()

    def test_each_state_comes_back(self):
        for encoding, page_size in ((ltx.BLOCK, 512), (ltx.FRAME, 4096)):
            world = self.world(encoding, page_size=page_size)
            run = world.litestream()
            for i in range(8):
                world.write(3)
                run.sync()
                if i == 3:
                    world.shrink()
                if i % 3 == 1:
                    self.assertTrue(run.checkpoint("TRUNCATE" if i == 4 else "PASSIVE"))
            run.close()
            self.expect_history(world)

    def test_goes_on_after_a_stop_and_after_a_kill(self):
        world = self.world()
        for end in ("close", "kill", "close"):
            run = world.litestream()
            run.sync()
            world.write()
            self.assertFalse(run.sync().full_copy)
            run.upload()
            getattr(run, end)()
        self.assertEqual(len(run.log), 3)
        self.expect_history(world)

    def test_goes_on_alone_after_being_the_last_to_close(self):
        world = self.world()
        run = world.litestream()
        run.sync()
        world.close_app()
        run.close()
        self.assertGreater((world.folder / "app.db-wal").stat().st_size, WAL_HEADER)
        world.open_app()
        world.write()
        run = world.litestream()
        self.assertFalse(run.sync().full_copy)
        run.close()
        self.expect_history(world)

    def test_a_killed_run_leaves_the_database_file_alone(self):
        world = self.world()
        run = world.litestream()
        run.sync()
        run.upload()
        world.close_app()
        run.kill()
        size = os.path.getsize(world.database)
        self.assertLess(size, len(world.history[1]), "it was checkpointed")
        world.open_app()
        world.litestream().close()
        self.expect_history(world)

    def test_a_full_copy_follows_lost_continuity(self):
        def reopened(world):
            world.close_app()
            world.open_app()
        def truncated(world):
            world.checkpoint("TRUNCATE")
        for harm in (reopened, truncated):
            world = self.world()
            run = world.litestream()
            run.sync()
            run.close()
            harm(world)
            world.write()
            run = world.litestream()
            self.assertTrue(run.sync().full_copy, harm.__name__)
            run.close()
            self.expect_history(world)

    def test_a_lost_state_folder_is_made_good_from_the_replica(self):
        world = self.world()
        run = world.litestream()
        run.sync()
        run.close()
        world.lose_state()
        world.write()
        run = world.litestream()
        self.assertFalse(run.sync().full_copy, "the WAL is the one that the replica knows")
        self.assertEqual(run.position(), 2)
        run.close()
        self.expect_history(world)

    def test_levels_snapshots_and_retention(self):
        world = self.world()
        run = world.litestream()
        for i in range(12):
            world.write(2)
            run.sync()
            run.upload()
            if i % 3 == 2:
                run.compact(1)
            if i == 8:
                run.compact(2)
                run.snapshot()
        run.enforce_l0_retention(run.now() + 1)
        run.close()
        self.assertEqual([(f.first, f.last) for f in world.replica.list(1)],
                         [(1, 3), (4, 6), (7, 9), (10, 12)])
        self.assertEqual([(f.first, f.last) for f in world.replica.list(2)], [(1, 9)])
        self.assertEqual([(f.first, f.last) for f in world.replica.list(9)], [(1, 9)])
        self.assertEqual([f.last for f in world.replica.list(0)], [12])
        world.check()
        for txid in (3, 6, 9, 12):
            self.assertTrue(world.replica.restore(txid)[1] == world.history[txid], txid)
        with self.assertRaises(NotAvailable):
            world.replica.restore(4)

    def test_a_torn_local_file_stops_it(self):
        world = self.world()
        run = world.litestream()
        run.sync()
        run.close()
        (path,) = (world.state / "ltx" / "0").iterdir()
        os.truncate(path, 200)
        with self.assertRaises(LitestreamError):
            world.litestream().sync()

    def test_commits_before_a_restart_that_it_did_not_see_are_lost_by_it(self):
        """A mistake of Litestream's that the model has too: it takes a new generation of the WAL
        that is shorter than what was synced for all that happened."""
        world = self.world()
        run = world.litestream()
        run.sync()
        world.write(10)
        run.sync()
        run.close()
        world.write(1)
        self.assertTrue(world.checkpoint("PASSIVE"))
        world.write(1)
        run = world.litestream()
        decision = run.sync()
        run.close()
        self.assertFalse(decision.full_copy)
        self.assertEqual(decision.offset, WAL_HEADER)
        txid, restored = world.replica.restore()
        self.assertFalse(restored == world.history[txid])


if __name__ == "__main__":
    unittest.main()
