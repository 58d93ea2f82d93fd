"""The words of the code: docstrings of the core rooms begin with a verb, and the old private words are gone.

The check is mechanical and knows no grammar: it refuses the beginnings that sentences without a verb had, and words by name.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

MMRL = Path(__file__).resolve().parent.parent / "mmrl"
CORE = ("types.py", "functional", "algorithms", "training", "rollout", "evaluation")
FILES = sorted(MMRL.rglob("*.py"))

NO_VERB = re.compile(  # after these an independent sentence cannot have its verb first
    r"(What|Whether|Which|Where|When|How|Of|By|With|Around|Who|Whose|True|False|None|Save|The same|Same)\b"
)
NOUN_PHRASE = re.compile(r"(The|A|An|All|Each|Every|Both|Some|One|This|These|Its|Their|Numbers|Everything)\b|[^A-Z]")
OLD_WORDS = re.compile(r"\b(worth|pulls?|loud|silent|sampler_gap|logp|credits?|claims?|standardise)\b")
ALLOWED = {  # in their plain sense: what a reasoning states is a claim
    "world/claims.py": {"claim", "claims"},
    "world/judge.py": {"claim", "claims"},
    "world/lexicon.py": {"claim", "claims"},
    "rewards/option_rules.py": {"claim"},
    "rewards/consistency.py": {"claim"},
    "rewards/benchmark_graders.py": {"worth"},  # points of a guess
    "cli/quickstart/publish.py": {"claims"},
    "config/renamed.py": {"standardise"},  # the old key itself
}


def name_of(path: Path) -> str:
    return path.relative_to(MMRL).as_posix()


def docstrings(path: Path) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield (node, name, docstring) of every public function, method and class that has a docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node)
            if text:
                yield node, node.name, text


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path).split("/")[0] in CORE], ids=name_of)
def test_docstrings_begin_with_a_verb_or_name_a_class(path):
    wrong = [
        f"{path}:{node.lineno} {name}: {text.splitlines()[0]}"
        for node, name, text in docstrings(path)
        if NO_VERB.match(text) or (not isinstance(node, ast.ClassDef) and NOUN_PHRASE.match(text))
    ]
    assert wrong == [], "begin with a verb, such as Return, Yield or Raise"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_old_words_are_gone(path):
    found = {word.lower() for word in OLD_WORDS.findall(path.read_text())} - ALLOWED.get(name_of(path), set())
    assert found == set(), "use the words of the field: advantage, kl_weight, loss_weight, without_signal, logprobs"


def test_the_check_finds_what_it_is_for():
    refused = (
        "What n completions earned.",
        "The share of tokens.",
        "log pi - log pi_ref.",
        "Whether it is.",
        "Of a group.",
    )
    assert all(NO_VERB.match(text) or NOUN_PHRASE.match(text) for text in refused)
    assert not NO_VERB.match("Return x.")
    assert not NOUN_PHRASE.match("Return x.")
    assert OLD_WORDS.findall("its worth, logp, answer_logp and silently") == ["worth", "logp"]
