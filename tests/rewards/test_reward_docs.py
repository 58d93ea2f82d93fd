"""The examples of rewards in the documentation, as they are written there."""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from mmrl.config import yaml_text
from mmrl.config.open_data import graders_of
from mmrl.config.schema import RewardSection
from mmrl.rewards import grade
from mmrl.types import Example

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SECTION = re.search(r"^## A reward\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)[1]
CODE = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
SETTINGS = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
ITEM = Example(id="kitchen-7", question="What next?", answer="B", choices=("open drawer", "close tap"))
TEXTS = ["the tap", "B", "B", "it is the tap"]


class Judge(BaseHTTPRequestHandler):
    """A judge whose score is the number of words."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["question"] == ITEM.question
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"score": len(asked["completion"].split())}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def judge(monkeypatch):
    """A judge on this machine, which the example finds by its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("JUDGE_URL", f"http://127.0.0.1:{server.server_port}/score")
        monkeypatch.setenv("no_proxy", "*")
        yield
        server.shutdown()


def test_the_examples_give_what_they_promise(tmp_path, monkeypatch, judge):
    for code in CODE:
        exec(code, {})  # each is complete by itself
    (tmp_path / "my_rewards.py").write_text("\n".join(CODE))
    monkeypatch.chdir(tmp_path)
    rewards = {
        name: RewardSection(**one) for text in SETTINGS for name, one in yaml_text.read(text, "page")["rewards"].items()
    }
    rewards["rarity"] = RewardSection(grader="my_rewards.py:rarity")
    assert set(rewards) == {"accuracy", "brevity", "judged", "rarity"}
    graders = graders_of(rewards)
    assert graders["judged"].concurrency == 8
    found = {name: reward.tolist() for name, reward in grade(TEXTS, ITEM, graders).items()}
    assert found == {
        "accuracy": [0, 0, 0, 0],
        "brevity": pytest.approx([1 / 3, 1 / 2, 1 / 2, 1 / 5]),
        "rarity": [1, 1 / 2, 1 / 2, 1],
        "judged": [2, 1, 1, 4],
    }
