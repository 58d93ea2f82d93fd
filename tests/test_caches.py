"""Caches in whole runs: before the first step they are tried, and then nothing is decoded or seen twice."""

import pytest

from mmrl.build import build
from mmrl.config import ConfigError
from tests import runs


def test_a_cache_folder_that_cannot_be_written_is_an_error_before_anything_is_read(root, tmp_path):
    (tmp_path / "file").write_text("")
    data = runs.settings(root, tmp_path)["data"] | {"cache_dir": str(tmp_path / "file" / "cache")}
    with pytest.raises(ConfigError, match=r"cache_dir: expected a folder that can be written, found .*file/cache"):
        build(runs.config(root, tmp_path / "run", data=data), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_second_run_decodes_nothing_and_learns_the_same(root, tmp_path):
    found = {}
    for name, cache in {"without": None, "first": tmp_path / "cache", "second": tmp_path / "cache"}.items():
        data = runs.settings(root, tmp_path)["data"] | {"cache_bytes": 0, "cache_dir": cache and str(cache)}
        run = build(runs.config(root, tmp_path / name, "care", data=data, steps=4), quiet=True)
        run.fit(quiet=True)
        found[name] = runs.numbers(tmp_path / name), run.feeder.reader.counts
    assert found["without"][0] == found["first"][0] == found["second"][0]
    assert found["without"][1].decodes > found["first"][1].decodes - 1 >= 0
    assert (found["second"][1].decodes, found["second"][1].disk.corrupt) == (0, 0)
    assert (tmp_path / "cache" / ".mmrl_media_seen.jsonl").exists()
