"""Several fields as one string of bytes, so that no two lists of fields give the same string.

What is hashed, signed or fed to a key derivation is built here: without the length prefixes, ("ab", "c") and
("a", "bc") would be the same bytes, and a signature on one would hold for the other.
"""

_INTEGER_BYTES = 8
_LENGTH_BYTES = 4


def fields(*parts: bytes | str | int) -> bytes:
    """Each part with its length in front: u32 big-endian, then the bytes.

    Args:
        parts: Bytes as they are, str as UTF-8, int in [0, 2^64) as 8 bytes big-endian. The encoding does not
            tell the types apart: a field of a given place in a given message always has the same one.

    Raises:
        OverflowError: An integer is negative or does not fit 8 bytes, or a part is 4 GiB or longer.
    """
    return b"".join(map(_field, parts))


def _field(part: bytes | str | int) -> bytes:
    encoded = _bytes(part)
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


def _bytes(part: bytes | str | int) -> bytes:
    match part:
        case bytes():
            return part
        case str():
            return part.encode()
        case bool():  # an int to Python; here almost certainly a mistake
            raise TypeError("a truth value is not a field")
        case int():
            return part.to_bytes(_INTEGER_BYTES, "big")
