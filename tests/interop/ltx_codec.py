"""LTX files as Litestream 0.5 reads and writes them, in Python.

Written from the description of the format alone. It shares nothing with src/, so that a mistake
there is not repeated here. Refuses everything that no reader of the format needs to accept.
"""

import dataclasses
import re
import struct

HEADER_SIZE = 100
TRAILER_SIZE = 16
CHECKSUM_FLAG = 1 << 63
NO_CHECKSUM = 2  # header flag: no rolling checksum of the database
SIZED = 1  # page flag: size prefix and LZ4 block; without it, an LZ4 frame

BLOCK = "block"  # Litestream 0.5.16 and later
FRAME = "frame"  # Litestream 0.5.0 to 0.5.15, which refuse every page flag


class FormatError(Exception):
    pass


def need(condition, message):
    if not condition:
        raise FormatError(message)


# ---- checksums ----------------------------------------------------------------------------------


def _crc64_table():
    table = []
    for value in range(1 << 16):
        for _ in range(16):
            value = (value >> 1) ^ (0xD800000000000000 if value & 1 else 0)
        table.append(value)
    return table


_CRC64 = _crc64_table()


def crc64(data):
    """CRC-64 GO-ISO, two bytes a step."""
    crc = 0xFFFFFFFFFFFFFFFF
    table = _CRC64
    even = len(data) & ~1
    for (pair,) in struct.iter_unpack("<H", memoryview(data)[:even]):
        crc = table[(crc ^ pair) & 0xFFFF] ^ (crc >> 16)
    if even != len(data):
        value = (crc ^ data[-1]) & 0xFF
        for _ in range(8):
            value = (value >> 1) ^ (0xD800000000000000 if value & 1 else 0)
        crc = value ^ (crc >> 8)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def page_checksum(page_no, page):
    return CHECKSUM_FLAG | crc64(struct.pack(">I", page_no) + page)


def database_checksum(pages, page_size):
    """Of pages by their numbers, as LTX's own rolling checksum has it."""
    checksum = CHECKSUM_FLAG
    for page_no, page in pages.items():
        if page_no != lock_page(page_size):
            checksum = CHECKSUM_FLAG | (checksum ^ page_checksum(page_no, page))
    return checksum


_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
_M32 = 0xFFFFFFFF


def _rotate(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & _M32


def xxh32(data):
    length = len(data)
    at = 0
    if length >= 16:
        lanes = [(_P1 + _P2) & _M32, _P2, 0, (-_P1) & _M32]
        whole = length & ~15
        for words in struct.iter_unpack("<4I", memoryview(data)[:whole]):
            lanes = [_rotate((lane + word * _P2) & _M32, 13) * _P1 & _M32
                     for lane, word in zip(lanes, words)]
        result = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & _M32
        at = whole
    else:
        result = _P5
    result = (result + length) & _M32
    while at + 4 <= length:
        (word,) = struct.unpack_from("<I", data, at)
        result = _rotate((result + word * _P3) & _M32, 17) * _P4 & _M32
        at += 4
    for byte in data[at:]:
        result = _rotate((result + byte * _P5) & _M32, 11) * _P1 & _M32
    result = (result ^ (result >> 15)) * _P2 & _M32
    result = (result ^ (result >> 13)) * _P3 & _M32
    return result ^ (result >> 16)


# ---- LZ4 ----------------------------------------------------------------------------------------


def _length_bytes(rest):
    """What follows a nibble of 15."""
    return b"\xff" * (rest // 255) + bytes([rest % 255])


def _sequence(literals, match_length):
    token = min(len(literals), 15) << 4
    out = _length_bytes(len(literals) - 15) if len(literals) >= 15 else b""
    out += literals
    if match_length:
        token |= min(match_length - 4, 15)
        out += b"\x01\x00"
        if match_length - 4 >= 15:
            out += _length_bytes(match_length - 4 - 15)
    return bytes([token]) + out


_RUN = re.compile(rb"(.)\1{11,}", re.DOTALL)


def lz4_compress_block(data):
    """Literals, and matches for runs of one byte only: a valid block, though not a small one."""
    out = []
    done = 0
    for run in _RUN.finditer(data):
        start, end = run.start() + 1, min(run.end(), len(data) - 5)
        if start > len(data) - 12 or end - start < 4:
            continue
        out.append(_sequence(data[done:start], end - start))
        done = end
    out.append(_sequence(data[done:], 0))
    return b"".join(out)


def lz4_decompress_block(block, size):
    out = bytearray()
    at = 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15:
            need(at < len(block), "LZ4 block ends within a length")
            total += block[at]
            at += 1
            if block[at - 1] != 255:
                break
        return total

    while True:
        need(at < len(block), "LZ4 block ends without a last sequence")
        token = block[at]
        at += 1
        literals = length(token >> 4)
        need(at + literals <= len(block), "LZ4 block ends within literals")
        out += block[at:at + literals]
        at += literals
        need(len(out) <= size, "LZ4 block is larger than a page")
        if at == len(block):
            break
        need(at + 2 <= len(block), "LZ4 block ends within an offset")
        offset = block[at] | block[at + 1] << 8
        at += 2
        match = length(token & 15) + 4
        need(0 < offset <= len(out), "LZ4 match points before the page")
        need(len(out) + match <= size, "LZ4 block is larger than a page")
        pattern = bytes(out[-offset:])
        if match > offset:
            pattern *= match // offset + 1
        out += pattern[:match]
    need(len(out) == size, "LZ4 block does not give one page")
    return bytes(out)


# The only frame header that was ever written: blocks up to 64 KiB, independent, content checksum.
_LZ4_FRAME = bytes.fromhex("04224d186440a7")


def lz4_compress_frame(data):
    block = lz4_compress_block(data)
    if len(block) >= len(data):
        body = struct.pack("<I", len(data) | 0x80000000) + data
    else:
        body = struct.pack("<I", len(block)) + block
    return _LZ4_FRAME + body + struct.pack("<II", 0, xxh32(data))


def lz4_frame_at(data, at, size):
    """The page in the frame at `at`, and where the frame ends."""
    need(data[at:at + 7] == _LZ4_FRAME, "not the LZ4 frame header that Litestream writes")
    need(at + 11 <= len(data), "the file ends within an LZ4 frame")
    (length,) = struct.unpack_from("<I", data, at + 7)
    raw, length = length & 0x80000000, length & 0x7FFFFFFF
    body = data[at + 11:at + 11 + length]
    page = body if raw else lz4_decompress_block(body, size)
    need(len(page) == size, "LZ4 frame does not give one page")
    need(at + 19 + length <= len(data), "the file ends within an LZ4 frame")
    end, checksum = struct.unpack_from("<II", data, at + 11 + length)
    need(end == 0, "LZ4 frame has more than one block")
    need(checksum == xxh32(page), "content checksum of an LZ4 frame")
    return page, at + 11 + length + 8


# ---- LTX ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Header:
    page_size: int
    commit: int
    min_txid: int
    max_txid: int
    timestamp: int  # milliseconds
    wal_offset: int = 0
    wal_size: int = 0
    salts: tuple = (0, 0)
    flags: int = NO_CHECKSUM
    pre_apply: int = 0
    node_id: int = 0
    reserved: bytes = bytes(20)

    _LAYOUT = struct.Struct(">4sIIIQQqQqqIIQ20s")

    @property
    def is_snapshot(self):
        return self.min_txid == 1

    def pack(self):
        return self._LAYOUT.pack(b"LTX1", self.flags, self.page_size, self.commit, self.min_txid,
                                 self.max_txid, self.timestamp, self.pre_apply, self.wal_offset,
                                 self.wal_size, *self.salts, self.node_id, self.reserved)

    @classmethod
    def parse(cls, data):
        need(len(data) >= HEADER_SIZE, "shorter than a header")
        (magic, flags, page_size, commit, first, last, timestamp, pre, offset, size, salt1, salt2,
         node, reserved) = cls._LAYOUT.unpack_from(data)
        need(magic == b"LTX1", "magic")
        header = cls(page_size, commit, first, last, timestamp, offset, size, (salt1, salt2), flags,
                     pre, node, reserved)
        header.validate()
        return header

    def validate(self):
        need(self.flags & ~NO_CHECKSUM == 0, "header flags")
        need(self.page_size in [1 << bits for bits in range(9, 17)], "page size")
        need(1 <= self.min_txid <= self.max_txid, "txids")
        need(self.wal_offset >= 0 and self.wal_size >= 0, "negative WAL range")
        need(self.wal_offset != 0 or self.salts == (0, 0), "salts without a WAL offset")
        need(self.wal_offset != 0 or self.wal_size == 0, "WAL size without an offset")
        if self.is_snapshot or self.flags & NO_CHECKSUM:
            need(self.pre_apply == 0, "pre-apply checksum")
        else:
            need(self.pre_apply & CHECKSUM_FLAG != 0, "pre-apply checksum")


def lock_page(page_size):
    return 0x40000000 // page_size + 1


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _check_page_no(header, previous, page_no):
    """Litestream's encoder has these rules; its decoder leaves them to restores."""
    need(page_no <= header.commit, f"page {page_no} is past the commit size {header.commit}")
    lock = lock_page(header.page_size)
    need(page_no != lock, "the lock page is in the file")
    if header.is_snapshot:
        following = previous + 2 if previous == lock - 1 else previous + 1
        need(page_no == following, f"snapshot goes from page {previous} to {page_no}")
    else:
        need(page_no > previous, f"page {page_no} after {previous}")


def encode(header, pages, encoding, post_apply=0):
    """An LTX file; `pages` are (page number, bytes), ascending."""
    header.validate()
    out = bytearray(header.pack())
    hashed = bytearray(out)
    index = bytearray()
    previous = 0
    for page_no, page in pages:
        _check_page_no(header, previous, page_no)
        need(len(page) == header.page_size, "page size")
        previous = page_no
        if encoding == BLOCK:
            body = lz4_compress_block(page)
            head = struct.pack(">IHI", page_no, SIZED, len(body))
        else:
            body = lz4_compress_frame(page)
            head = struct.pack(">IH", page_no, 0)
        index += _varint(page_no) + _varint(len(out)) + _varint(len(head) + len(body))
        out += head + body
        hashed += head + page
    index += b"\0"
    tail = bytes(6) + bytes(index) + struct.pack(">QQ", len(index), post_apply)
    out += tail
    hashed += tail
    return bytes(out) + struct.pack(">Q", CHECKSUM_FLAG | crc64(hashed))


@dataclasses.dataclass
class LtxFile:
    header: Header
    pages: dict  # page number -> bytes, ascending
    post_apply: int
    checksum: int
    encodings: set


def decode(data, readable=(BLOCK, FRAME)):
    """A whole file, with every rule held to. `readable`: what the version of Litestream knows."""
    header = Header.parse(data)
    hashed = bytearray(data[:HEADER_SIZE])
    pages, encodings, index = {}, set(), bytearray()
    at, previous = HEADER_SIZE, 0
    while True:
        need(at + 6 <= len(data), "the file ends within the pages")
        page_no, flags = struct.unpack_from(">IH", data, at)
        if page_no == 0:
            need(flags == 0, "flags at the end of the pages")
            break
        need(flags & ~SIZED == 0, "page flags")
        form = BLOCK if flags & SIZED else FRAME
        need(form in readable, f"a page in {form} form, which this version of Litestream refuses")
        encodings.add(form)
        _check_page_no(header, previous, page_no)
        previous = page_no
        if form == BLOCK:
            need(at + 10 <= len(data), "the file ends within a page header")
            (size,) = struct.unpack_from(">I", data, at + 6)
            need(at + 10 + size <= len(data), "the file ends within a page")
            end = at + 10 + size
            page = lz4_decompress_block(data[at + 10:end], header.page_size)
            hashed += data[at:at + 10]
        else:
            page, end = lz4_frame_at(data, at + 6, header.page_size)
            hashed += data[at:at + 6]
        hashed += page
        pages[page_no] = page
        index += _varint(page_no) + _varint(at) + _varint(end - at)
        at = end
    if header.is_snapshot:
        last = header.commit - 1 if header.commit == lock_page(header.page_size) else header.commit
        need(previous == last, f"snapshot of {header.commit} pages ends with page {previous}")
    index += b"\0"
    need(data[at + 6:at + 6 + len(index)] == index, "the page index is not that of the pages")
    trailer = at + 6 + len(index) + 8
    need(len(data) == trailer + TRAILER_SIZE, "bytes after the trailer, or none")
    length, post_apply, checksum = struct.unpack_from(">QQQ", data, trailer - 8)
    need(length == len(index), "length of the page index")
    hashed += data[at:trailer + 8]
    need(checksum == CHECKSUM_FLAG | crc64(hashed), "file checksum")
    if header.flags & NO_CHECKSUM:
        need(post_apply == 0, "post-apply checksum")
    else:
        need(post_apply & CHECKSUM_FLAG != 0, "post-apply checksum")
        if header.is_snapshot:
            need(post_apply == database_checksum(pages, header.page_size), "database checksum")
    return LtxFile(header, pages, post_apply, checksum, encodings)


_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")


def file_name(first, last):
    return f"{first:016x}-{last:016x}.ltx"


def parse_file_name(name):
    """(min, max), or None for what Litestream does not see."""
    match = _NAME.fullmatch(name)
    return (int(match[1], 16), int(match[2], 16)) if match else None
