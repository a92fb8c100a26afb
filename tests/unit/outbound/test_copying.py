from __future__ import annotations

from tests.bench.copying import MEGABYTE, PICTURE_BYTES, copied


def test_a_hundred_megabytes_are_copied_with_a_part_of_them_in_memory() -> None:
    found = copied(100)
    assert found.received >= 100 * MEGABYTE + PICTURE_BYTES
    assert found.grown <= 64
