"""Writes the HDF5 files of `found/hdf5` that no fuzzer found: small ones that ask for much.

Each is put together byte by byte, since no library writes such files.
"""

import json
import struct
import zlib
from pathlib import Path

UNDEFINED = b"\xff" * 8
SUPERBLOCK = 96


def u64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def message(kind: int, body: bytes) -> bytes:
    body = padded(body)
    return struct.pack("<HHB3x", kind, len(body), 0) + body


def header(*messages: bytes) -> bytes:
    """An object header."""
    body = b"".join(messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def space(*shape: int) -> bytes:
    return struct.pack("<BB6x", 1, len(shape)) + u64(*shape)


def fixed(size: int) -> bytes:
    return b"\x13\x01\0\0" + struct.pack("<I", size)


STRINGS = b"\x19\x01\0\0" + struct.pack("<I", 16) + b"\x13\0\0\0" + struct.pack("<I", 1)
I64 = b"\x10\x08\0\0" + struct.pack("<IHH", 8, 0, 64)
F32 = b"\x11\x20\x1f\0" + struct.pack("<IHHBBBBI", 4, 0, 32, 23, 8, 0, 23, 127)


def attribute(name: str, kind: bytes, shape: list[int], data: bytes) -> bytes:
    stored, of = name.encode() + b"\0", space(*shape)
    sizes = struct.pack("<BxHHH", 1, len(stored), len(kind), len(of))
    return message(0xC, sizes + padded(stored) + padded(kind) + padded(of) + data)


def text(name: str, value: str) -> bytes:
    return attribute(name, fixed(len(value)), [], value.encode())


def heap(names: bytes, at: int) -> bytes:
    """A local heap, which is at `at`."""
    return b"HEAP" + bytes(4) + u64(len(names)) + UNDEFINED + u64(at + 32) + names


def tree(level: int, children: list[int], kind: int = 0) -> bytes:
    """A node of a group's tree, 64 bytes of it."""
    links = b"".join(u64(child, 0) for child in children)
    return (b"TREE" + bytes([kind, level]) + struct.pack("<H", len(children)) + UNDEFINED * 2 + u64(0) + links).ljust(64, b"\0")


def node(entries: list[tuple[int, int]]) -> bytes:
    """A group's entries: where a name is in the heap, and an object in the file."""
    listed = b"".join(u64(name, object_at) + bytes(24) for name, object_at in entries)
    return b"SNOD\x01\0" + struct.pack("<H", len(entries)) + listed


def group(tree_at: int, heap_at: int) -> bytes:
    return message(0x11, u64(tree_at, heap_at))


def file(*parts: bytes, root: int) -> bytes:
    """The file of those parts, the first of which is at SUPERBLOCK; its root's header is at `root`."""
    body = b"".join(parts)
    start = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    start += u64(0) + UNDEFINED + u64(SUPERBLOCK + len(body)) + UNDEFINED + u64(0, root) + bytes(24)
    return start + body


LAYER = {"class_name": "Activation", "config": {"name": "a", "activation": "relu", "batch_input_shape": [None, 4]}}
MODEL = text("model_config", json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [LAYER]}}))
ATTRIBUTES = [MODEL, text("keras_version", "2.15.0")]


def tree_that_names_its_nodes_twice() -> bytes:
    """2 ** 60 paths from the root's tree to its only leaf."""
    levels = 60
    root = header(group(SUPERBLOCK + 64, SUPERBLOCK + 24))
    heap_at = SUPERBLOCK + len(root)
    tree_at = heap_at + 40
    root = header(group(tree_at, heap_at))
    nodes = [tree(1, [tree_at + 64 * (level + 1)] * 2) for level in range(levels)]
    return file(root, heap(bytes(8), heap_at), *nodes, tree(0, []), root=SUPERBLOCK)


def of_members(members: dict[str, bytes], attributes: list[bytes], before: bytes = b"") -> bytes:
    """A file whose root has these objects; those without bytes are the root itself."""
    heap_at = SUPERBLOCK + len(before)
    names, places = bytes(8), {}
    for name in members:
        places[name] = len(names)
        names += padded(name.encode() + b"\0")
    tree_at = heap_at + 32 + len(names)
    node_at = tree_at + 64
    at = node_at + 8 + 40 * len(members)
    objects = {}
    for name, data in members.items():
        objects[name] = at if data else 0
        at += len(data)
    entries = [(places[name], objects[name] or at) for name in members]
    parts = [before, heap(names, heap_at), tree(0, [node_at]), node(entries), *members.values()]
    return file(*parts, header(group(tree_at, heap_at), *attributes), root=at)


def listed_again_and_again() -> bytes:
    """A layer that is listed 2,000 times, in the group that has the list."""
    lists = [attribute(name, fixed(1), [2000], b"a" * 2000) for name in ("layer_names", "weight_names")]
    return of_members({"a": b""}, ATTRIBUTES + lists)


def one_string_often() -> bytes:
    """An attribute of 2,000 strings, all of them the same 20,000 bytes."""
    count, size = 2000, 20_000
    collection = struct.pack("<HH4x", 1, 1) + u64(size) + padded(bytes([120]) * size)
    collection = (b"GCOL\x01\0\0\0" + u64(16 + len(collection) + 16) + collection).ljust(32 + len(collection), b"\0")
    reference = struct.pack("<IQI", size, SUPERBLOCK, 1)
    names = attribute("layer_names", STRINGS, [count], reference * count)
    return of_members({"a": b""}, [*ATTRIBUTES, names], collection)


def one_name_often() -> bytes:
    """A group of 2,000 objects, all of one name of 20,000 bytes."""
    names = bytes(8) + padded(b"x" * 20_000 + b"\0")
    heap_at = SUPERBLOCK
    tree_at = heap_at + 32 + len(names)
    node_at = tree_at + 64
    root = node_at + 8 + 40 * 2000
    parts = [heap(names, heap_at), tree(0, [node_at]), node([(8, root)] * 2000)]
    return file(*parts, header(group(tree_at, heap_at), *ATTRIBUTES), root=root)


def turned(x: int, by: int) -> int:
    return (x << by | x >> (32 - by)) & 0xFFFF_FFFF


def summed(data: bytes) -> bytes:
    """A structure and its checksum, Jenkins' lookup3."""
    a = b = c = 0xDEAD_BEEF + len(data)
    rest = data
    while len(rest) > 12:
        a, b, c = (x + y & 0xFFFF_FFFF for x, y in zip((a, b, c), struct.unpack("<III", rest[:12])))
        for by in (4, 6, 8, 16, 19, 4):
            a = (a - c & 0xFFFF_FFFF) ^ turned(c, by)
            c = c + b & 0xFFFF_FFFF
            a, b, c = b, c, a
        rest = rest[12:]
    a, b, c = (x + y & 0xFFFF_FFFF for x, y in zip((a, b, c), struct.unpack("<III", rest.ljust(12, b"\0"))))
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - turned(b, by) & 0xFFFF_FFFF
        a, b, c = b, c, a
    # The last of seven steps was c's.
    return data + struct.pack("<I", b)


def tree_that_names_itself() -> bytes:
    """Attributes in a tree of 15,000 levels, all of them one node."""
    heap_at = SUPERBLOCK
    sizes = struct.pack("<HHBI", 8, 0, 0, 4096) + u64(0) + UNDEFINED + u64(0) + UNDEFINED + u64(0, 0, 0, 1, 0, 0, 0, 0)
    attributes = b"FRHP\0" + sizes + struct.pack("<H", 4) + u64(512, 65536) + struct.pack("<HH", 32, 1)
    attributes = padded(summed(attributes + u64(heap_at) + struct.pack("<H", 0)))
    tree_at = heap_at + len(attributes)
    node_at = tree_at + 40
    top = b"BTHD\0\x08" + struct.pack("<IHHBB", 26, 0, 15_000, 85, 40) + u64(node_at) + struct.pack("<H", 1) + u64(1)
    node_of_itself = padded(b"BTIN\0\x08" + (u64(node_at) + b"\0\0") * 2)
    info = message(0x15, b"\0\0" + u64(heap_at, tree_at))
    parts = [attributes, padded(summed(top)), node_of_itself, header(info, *ATTRIBUTES)]
    return file(*parts, root=node_at + len(node_of_itself))


NEVER_WRITTEN = message(8, b"\x03\x01" + UNDEFINED + u64(0))


def optimizer(steps: list[int], state: bytes = b"") -> bytes:
    """A compiled model with that many numbers of steps, and another array of its optimizer."""
    names = b"ik" if state else b"i"
    attributes = [*ATTRIBUTES, text("training_config", "{}"), attribute("weight_names", fixed(1), [len(names)], names)]
    members = {"a": b"", "i": header(message(1, space(*steps)), message(3, I64), NEVER_WRITTEN), "optimizer_weights": b""}
    if state:
        members["k"] = state
    return of_members(members, attributes)


def never_written(*shape: int) -> bytes:
    return header(message(1, space(*shape)), message(3, F32), NEVER_WRITTEN)


def chunk_compressed_twice() -> bytes:
    """Ten numbers in a chunk of 2 ** 24, which is compressed twice."""
    chunk = 1 << 24
    stored = zlib.compress(zlib.compress(bytes(4 * chunk), 9), 9)
    # The array comes last but for the root, and its chunk after its header, so that both places are found by making it twice.
    place = 0
    for _ in range(2):
        layout = message(8, b"\x03\x02\x02" + u64(place) + struct.pack("<II", chunk, 4))
        filters = message(11, b"\x01\x02" + bytes(6) + DEFLATE * 2)
        array = header(message(1, space(10)), message(3, F32), filters, layout)
        first = optimizer([1], array).index(array) + len(array)
        place = first
    key = struct.pack("<II", len(stored), 0) + u64(0, 0)
    last = struct.pack("<II", 0, 0) + u64(chunk, 0)
    index = b"TREE\x01\0" + struct.pack("<H", 1) + UNDEFINED * 2 + key
    data = place + len(index) + 8 + len(last)
    return optimizer([1], array + index + u64(data) + last + padded(stored))


def chunks(index: bytes, size: int, at: int) -> bytes:
    """The layout of an array in chunks of `size`, whose index of that kind is at `at`."""
    return message(8, b"\x04\x02\0\x02\x04" + struct.pack("<II", size, 4) + index + u64(at))


def array_of_too_many_bits() -> bytes:
    """Ten numbers, whose index claims 2 ** 255 chunks."""
    at = 0
    for _ in range(2):
        array = header(message(1, space(10)), message(3, F32), chunks(b"\x04" + bytes(5), 10, at))
        index = summed(b"EAHD" + bytes([0, 0, 8, 255, 4, 16, 255, 10]) + u64(0, 0, 0, 0, 1, 1, SUPERBLOCK))
        data = optimizer([1], array + padded(index))
        at = data.index(b"EAHD")
    return data


DEFLATE = struct.pack("<HHHHI4x", 1, 0, 0, 1, 9)
SHUFFLE = struct.pack("<HHHH", 2, 0, 0, 0)


def chunks_without_an_index() -> bytes:
    """Two million chunks of one number, which have no index and are said to be compressed."""
    filters = message(11, b"\x01\x01" + bytes(6) + DEFLATE)
    array = header(message(1, space(2_000_000)), message(3, F32), filters, chunks(b"\x02", 1, SUPERBLOCK))
    return optimizer([1], array + bytes(8192))


def shuffled_again_and_again() -> bytes:
    """Half a million zeroes, shuffled 254 times."""
    size = 1 << 19
    filters = message(11, b"\x01\xff" + bytes(6) + SHUFFLE * 254 + DEFLATE)
    array = header(message(1, space(size)), message(3, F32), filters, message(8, b"\x03\x02\x02" + u64(0) + struct.pack("<II", size, 4)))
    return optimizer([1], array)


def types_in_types() -> bytes:
    """An attribute of lists of lists of lists, 8,000 deep."""
    lists = b"\x19\0\0\0" + struct.pack("<I", 16)
    return of_members({"a": b""}, [*ATTRIBUTES, attribute("x", lists * 8000 + I64, [0], b"")])


def types_of_many_members() -> bytes:
    """A type that has a member that has a member, each said to be the first of 65,535."""
    member = b"\x36\xff\xff\0" + struct.pack("<I", 8) + b"\0\0"
    return of_members({"a": b""}, [*ATTRIBUTES, attribute("x", member * 8 + I64, [0], b"")])


FILES = {
    "tree-that-names-its-nodes-twice": tree_that_names_its_nodes_twice(),
    "listed-again-and-again": listed_again_and_again(),
    "one-string-often": one_string_often(),
    "one-name-often": one_name_often(),
    "steps-without-end": optimizer([1, 1 << 57]),
    "steps-that-overflow": optimizer([1, 1 << 60]),
    "empty-but-huge": optimizer([1], never_written(0, 1 << 40, 1 << 40)),
    "chunk-compressed-twice": chunk_compressed_twice(),
    "tree-that-names-itself": tree_that_names_itself(),
    "array-of-too-many-bits": array_of_too_many_bits(),
    "chunks-without-an-index": chunks_without_an_index(),
    "shuffled-again-and-again": shuffled_again_and_again(),
    "types-in-types": types_in_types(),
    "types-of-many-members": types_of_many_members(),
}

if __name__ == "__main__":
    folder = Path(__file__).with_name("found") / "hdf5"
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
        print(f"{len(data):7} {name}")
