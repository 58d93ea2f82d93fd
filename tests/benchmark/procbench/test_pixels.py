"""The pixel oracle on a rendered benchmark."""

import pytest

from benchmark.procbench import pixels
from mmrl.world.build import render
from mmrl.world.files import rows_in
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe, Sizes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    sizes = Sizes(train=0, L1=1, L2=1, L3=1)
    return render(tmp_path_factory.mktemp("world") / "bench", Recipe(sizes, 3, SMALL))


@pytest.mark.slow("every item of some octets is answered from its files in test_pixel_oracle")
def test_what_the_pixels_show_is_enough(root):
    found = pixels.reached(root, 1, (8,))
    assert {(one.level, one.reader) for one in found} == {(a, b) for a in pixels.LEVELS for b in pixels.readers()}
    assert all(one.accuracy == 1 and one.items == 8 and one.octets == 1 for one in found)
    header, lines = pixels.cells(found)
    assert header == ["pixel oracle", "L1", "L2", "L3"]
    assert lines[0][0] == "pyav, 8 frames"
    assert lines[0][1].startswith("100.0 [")


def test_a_row_with_another_answer_is_counted_as_wrong(root):
    row = next(iter(rows_in(root, "validation_L1")))
    assert pixels.right(row, root, 8, "pyav")
    assert not pixels.right(row | {"answer": row["choice_a"] + " not"}, root, 8, "pyav")
