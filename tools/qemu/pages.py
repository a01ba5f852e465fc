"""pages.py - images of memory, page by page."""
import os
import struct

from guest import Failed

PAGE = 4096
PIECE = 256 * PAGE
ZEROS = bytes(PIECE)


def data_ranges(file):
    """(start, end) of what is no hole, in whole pages."""
    size = os.fstat(file.fileno()).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start // PAGE * PAGE, -(-end // PAGE) * PAGE


def pages_with_data(*files):
    """The starts of the pieces in which one of the files has data."""
    starts = set()
    for file in files:
        for start, end in data_ranges(file):
            starts.update(range(start // PIECE * PIECE, end, PIECE))
    return sorted(starts)


def differing_pages(old, new):
    """(offset, new bytes) of each page that is not the same in two open files of
    the same length."""
    before, after = bytearray(PIECE), bytearray(PIECE)
    for start in pages_with_data(old, new):
        length = os.preadv(new.fileno(), [after], start)
        if os.preadv(old.fileno(), [before], start) != length:
            raise Failed(f"{old.name} and {new.name} have not the same length")
        if before == after:
            continue
        for at in range(0, length, PAGE):
            if before[at:at + PAGE] != after[at:at + PAGE]:
                yield start + at, bytes(after[at:at + PAGE])


def write_diff(old_path, new_path, diff_path):
    """A sparse file: the pages of the new image that differ, and holes. How many
    pages it holds."""
    count = 0
    with open(old_path, "rb") as old, open(new_path, "rb") as new, open(diff_path, "wb") as diff:
        diff.truncate(os.fstat(new.fileno()).st_size)
        for offset, page in differing_pages(old, new):
            os.pwrite(diff.fileno(), page, offset)
            count += 1
    return count


def core_segments(core):
    """(guest address, offset in the file, bytes) of the PT_LOAD of an ELF core."""
    header = os.pread(core.fileno(), 64, 0)
    if header[:6] != b"\x7fELF\x02\x01":
        raise Failed("the dump is no ELF core of 64 bits")
    table, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    for index in range(count):
        entry = os.pread(core.fileno(), size, table + index * size)
        kind, _, offset, _, address, length = struct.unpack_from("<IIQQQQ", entry)
        if kind == 1:
            yield address, offset, length


def flatten_core(core_path, raw_path, length):
    """The memory in an ELF core as a raw image; what lies above `length` (the
    firmware) is left out. How many bytes of the memory the core has."""
    covered = 0
    with open(core_path, "rb") as core, open(raw_path, "wb") as raw:
        raw.truncate(length)
        for address, offset, size in core_segments(core):
            end = min(address + size, length)
            for start in range(address, end, PIECE):
                piece = os.pread(core.fileno(), min(PIECE, end - start), offset + start - address)
                covered += len(piece)
                if piece != ZEROS[:len(piece)]:
                    os.pwrite(raw.fileno(), piece, start)
    return covered
