"""Chats in the Hugging Face manner."""

from pathlib import Path

import pytest

from mmrl.data.formats.messages import Messages
from mmrl.types import Media, Message

ASK = {"role": "user", "content": "What is it?"}


def read(tmp_path, write_rows, row):
    return Messages(write_rows([row])).open(tmp_path).example(0, 0)


def test_a_last_turn_of_the_assistant_is_a_demonstration(tmp_path, write_rows):
    turns = [{"role": "system", "content": "Be brief."}, ASK, {"role": "assistant", "content": "A cup."}]
    example = read(tmp_path, write_rows, {"messages": turns})
    assert example.messages == (Message("system", ("Be brief.",)), Message("user", ("What is it?",)))
    assert (example.demonstration, example.answer, example.kind, example.id) == ("A cup.", None, "free", "line-1")


def test_a_chat_without_one_is_a_question(tmp_path, write_rows):
    row = {"messages": [ASK], "answer": "B", "choices": ["cup", "jar"], "id": 7, "cluster": "kitchen"}
    example = read(tmp_path, write_rows, row)
    assert (example.id, example.answer, example.kind, example.choices) == ("7", "B", "choice", ("cup", "jar"))
    assert (example.demonstration, example.cluster, example.question) == (None, "kitchen", "What is it?")


def test_parts_keep_their_order_and_paths_start_at_the_root(tmp_path, write_rows):
    parts = [
        {"type": "text", "text": "First"},
        {"type": "video", "video": "file://clips/a%20b.mp4"},
        {"type": "image", "image": f"file://{tmp_path}/c.png"},
        {"type": "text", "text": "then what?"},
    ]
    example = read(
        tmp_path,
        write_rows,
        {"messages": [{"role": "user", "content": parts}], "answer": 3.5, "kind": "free"} | {"answer": 3},
    )
    assert example.messages[0].content == (
        "First",
        Media("video", Path("clips/a b.mp4")),
        Media("image", Path("c.png")),
        "then what?",
    )
    assert (example.answer, example.question) == ("3", "First\nthen what?")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, r"messages: expected a list of .*, found no such field"),
        ({"messages": "hello"}, r"messages: expected a list of"),
        (
            {"messages": [{"role": "human", "content": "hi"}]},
            r"messages\[0\]\.role: expected one of system, user, assistant, found human",
        ),
        (
            {"messages": [{"role": "user"}]},
            r"messages\[0\]\.content: expected text or a list of parts, found no such field",
        ),
        ({"messages": [{"role": "system", "content": "hi"}]}, r"messages: expected a message of the user"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, r"messages: expected a message of the user"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}]},
            r'messages\[0\]\.content\[0\]: expected \{"type": "text", .*, found \{\'type\': \'image_url\'',
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": "https://x.org/a.png"}]}]},
            r".*\[0\]\.image: expected a path in the data root, found https.*; download the file and state its path",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video", "video": "file:///elsewhere/a.mp4"}]}]},
            r".*\[0\]\.video: expected a file inside the data root",
        ),
        (
            {"messages": [ASK, {"role": "assistant", "content": [{"type": "image", "image": "a.png"}]}]},
            r"messages: expected a last turn of text alone",
        ),
        ({"messages": [ASK], "kind": "essay"}, r"kind: expected one of choice, numerical, .*found essay"),
        ({"messages": [ASK], "choices": ["a", "a"]}, r"choices: expected options that differ, found 'a'"),
        (
            {"messages": [ASK], "choices": ["a", "b"], "answer": "C"},
            r"answer: expected one of the letters A, B, found C",
        ),
    ],
)
def test_a_malformed_chat_is_told_where_what_and_what_to_do(tmp_path, write_rows, row, message):
    with pytest.raises(ValueError, match=rf"rows\.jsonl:1: {message}"):
        read(tmp_path, write_rows, row)
