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
    """500 layers, whose group is the one that lists them."""
    names = [f"{number:03}" for number in range(500)]
    lists = [attribute(name, fixed(3), [500], "".join(names).encode()) for name in ("layer_names", "weight_names")]
    return of_members(dict.fromkeys(names, b""), ATTRIBUTES + lists)


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


def heap_of_attributes(root: int, named: int) -> bytes:
    """The header of a fractal heap that is the file itself, whose objects are named by so many bytes."""
    sizes = struct.pack("<HHBI", named, 0, 0, 4096) + u64(0) + UNDEFINED + u64(0) + UNDEFINED + u64(0, 0, 0, 1, 0, 0, 0, 0)
    widths = struct.pack("<H", 4) + u64(1 << 30, 1 << 30) + struct.pack("<HH", 32, 1)
    return padded(summed(b"FRHP\0" + sizes + widths + u64(root) + struct.pack("<H", 0)))


def tree_of_attributes(record: int, depth: int, size: int, root: int, count: int) -> bytes:
    """The header of a version 2 tree of attributes, 40 bytes of it: its nodes are of `size`, the top one at `root` has `count` records."""
    sizes = struct.pack("<IHHBB", size, record, depth, 85, 40)
    return padded(summed(b"BTHD\0\x08" + sizes + u64(root) + struct.pack("<H", count) + u64(1 << 20)))


def dense(heap_at: int, tree_at: int) -> bytes:
    """The message that says where an object's attributes are."""
    return message(0x15, b"\0\0" + u64(heap_at, tree_at))


def tree_that_names_itself() -> bytes:
    """Attributes in a tree of 15,000 levels, all of them one node."""
    heap_at = SUPERBLOCK
    attributes = heap_of_attributes(0, 8)
    tree_at = heap_at + len(attributes)
    node_at = tree_at + 40
    node_of_itself = padded(b"BTIN\0\x08" + (u64(node_at) + b"\0\0") * 2)
    parts = [attributes, tree_of_attributes(26, 15_000, 26, node_at, 1), node_of_itself]
    return file(*parts, header(dense(heap_at, tree_at), *ATTRIBUTES), root=node_at + len(node_of_itself))


def records_of_no_bytes() -> bytes:
    """20 nodes of 256 leaves of 255 attributes each, all of them the six bytes that the file ends with."""
    heap_at = SUPERBLOCK
    attributes = heap_of_attributes(0, 8)
    tree_at = heap_at + len(attributes)
    top_at = tree_at + 40
    size = 256 * 9 + 70

    def node(below: int, count: int, names: bytes) -> bytes:
        return padded(b"BTIN\0\x08" + (u64(below) + names) * count)

    middle_at = top_at + len(node(0, 20, b"\xff\0\0"))
    root = middle_at + len(node(0, 256, b"\xff"))
    last = header(dense(heap_at, tree_at), group(0, 0), *ATTRIBUTES)
    parts = [attributes, tree_of_attributes(0, 2, size, top_at, 19), node(middle_at, 20, b"\xff\0\0")]
    return file(*parts, node(root + len(last), 256, b"\xff"), last, b"BTLF\0\x08", root=root)


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


def chunk_listed_often() -> bytes:
    """An array of one chunk, which its index lists 200 times: each time it would be unpacked."""
    size, times = 1 << 16, 200
    stored = zlib.compress(bytes(4 * size), 9)
    place = 0
    for _ in range(2):
        layout = message(8, b"\x03\x02\x02" + u64(place) + struct.pack("<II", size, 4))
        array = header(message(1, space(size)), message(3, F32), message(11, b"\x01\x01" + bytes(6) + DEFLATE), layout)
        place = optimizer([1], array).index(array) + len(array)
    data = place + 24 + 32 * times + 24
    entry = struct.pack("<II", len(stored), 0) + u64(0, 0, data)
    index = b"TREE\x01\0" + struct.pack("<H", times) + UNDEFINED * 2 + entry * times
    return optimizer([1], array + index + struct.pack("<II", 0, 0) + u64(size, 0) + padded(stored))


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
    return of_members({"a": b""}, [*ATTRIBUTES, attribute("x", MEMBER * 8 + I64, [0], b"")])


def attribute3(name: str, kind: bytes, flags: int = 0) -> bytes:
    """An attribute of version 3 and no extent, whose type is elsewhere where its flag says so."""
    stored, of = name.encode() + b"\0", space(0)
    return bytes([3, flags]) + struct.pack("<HHH", len(stored), len(kind), len(of)) + b"\0" + stored + kind + of


MEMBER = b"\x36\xff\xff\0" + struct.pack("<I", 8) + b"\0\0"


def attribute_in_a_tree() -> bytes:
    """A type of many members in an attribute that is its own name in the tree of attributes."""
    named, heap_at = 1024, SUPERBLOCK
    own = attribute3("x", MEMBER * 90 + I64)
    record = (bytes([0x20 | len(own) - 1 >> 8, len(own) - 1 & 255]) + own).ljust(named, b"\0") + bytes(9)
    attributes = heap_of_attributes(0, named)
    tree_at = heap_at + len(attributes)
    leaf = padded(summed(b"BTLF\0\x08" + record))
    tree = tree_of_attributes(len(record), 0, len(leaf), tree_at + 40, 1)
    root = tree_at + 40 + len(leaf)
    return file(attributes, tree, leaf, header(dense(heap_at, tree_at), group(0, 0), *ATTRIBUTES), root=root)


def header_like_another() -> bytes:
    """A header of version 1 that begins with the letters of a part of version 2: a message of an unknown kind, and its 19,272 bytes. Then comes
    a type of many members."""
    first = b"OCHK" + bytes(4) + b"\0\xff\xff\xff".ljust(0x4B48, b"\xff")
    tree_at = SUPERBLOCK + 40
    last = header(first, group(tree_at, SUPERBLOCK), attribute("x", MEMBER * 90 + I64, [0], b""), *ATTRIBUTES)
    return file(heap(bytes(8), SUPERBLOCK), tree(0, []), last, root=tree_at + 64)


def attribute_as_long_as_a_part() -> bytes:
    """A type of many members in an attribute in a heap. A message that isn't counted among its object's names a further part of that length."""
    own = attribute3("x", MEMBER * 90 + I64)
    heap_at = SUPERBLOCK + len(own)
    attributes = heap_of_attributes(SUPERBLOCK, 8)
    tree_at = heap_at + len(attributes)
    record = b"\0" + struct.pack("<I", 0) + len(own).to_bytes(3, "little") + bytes(9)
    leaf = padded(summed(b"BTLF\0\x08" + record))
    names_at = tree_at + 40 + len(leaf)
    names = heap(bytes(8), names_at) + tree(0, [])
    messages = [dense(heap_at, tree_at), group(names_at + 40, names_at), *ATTRIBUTES]
    root = header(*messages, message(16, u64(SUPERBLOCK, len(own))))
    root = root[:2] + struct.pack("<H", len(messages)) + root[4:]
    parts = [own, attributes, tree_of_attributes(17, 0, len(leaf), tree_at + 40, 1), leaf, names]
    return file(*parts, root, root=names_at + len(names))


def types_that_are_shared() -> bytes:
    """An attribute whose type of many members lies among the messages that objects share. The file's superblock is of version 2."""
    superblock = 48
    kind = padded(MEMBER * 90 + I64)
    heap_at = superblock + len(kind)
    shared = heap_of_attributes(superblock, 8)
    table_at = heap_at + len(shared)
    table = padded(summed(b"SMTB" + struct.pack("<BBHIHHH", 0, 0, 1 << 3, 0, 10, 0, 1) + UNDEFINED + u64(heap_at)))

    def messages(*of: tuple[int, bytes]) -> bytes:
        body = b"".join(struct.pack("<BHB", kind, len(data), 0) + data for kind, data in of)
        return padded(summed(b"OHDR\x02\x02" + struct.pack("<I", len(body)) + body))

    extension_at = table_at + len(table)
    extension = messages((15, b"\0" + u64(table_at) + b"\x01"))
    place = b"\x03\x01\0" + struct.pack("<I", 0) + len(kind).to_bytes(3, "little")
    attributes = [(12, attributes[8:]) for attributes in ATTRIBUTES]
    root = messages(*attributes, (12, attribute3("x", place, flags=1)), (2, b"\0\0" + UNDEFINED * 2))
    body = kind + shared + table + extension + root
    start = b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0])
    return summed(start + u64(0, extension_at, superblock + len(body), extension_at + len(extension))) + body


def axes_by_the_hundred() -> bytes:
    """Numbers in chunks of one, of 200 axes: where each chunk lies takes 1,600 bytes."""
    layout = message(8, b"\x04\x02\0" + bytes([201, 1]) + b"\1" * 200 + b"\x04\x02" + u64(SUPERBLOCK))
    array = header(message(1, space(2000, *[1] * 199)), message(3, F32), layout)
    return optimizer([1], array + bytes(8000))


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
    "records-of-no-bytes": records_of_no_bytes(),
    "attribute-in-a-tree": attribute_in_a_tree(),
    "header-like-another": header_like_another(),
    "types-that-are-shared": types_that_are_shared(),
    "axes-by-the-hundred": axes_by_the_hundred(),
    "attribute-as-long-as-a-part": attribute_as_long_as_a_part(),
    "chunk-listed-often": chunk_listed_often(),
}

if __name__ == "__main__":
    folder = Path(__file__).with_name("found") / "hdf5"
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
        print(f"{len(data):7} {name}")
