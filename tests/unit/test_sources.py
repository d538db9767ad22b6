"""Items of a task, from a package, a generator and a local file."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest

from cream.answers import is_correct
from cream.errors import UserError
from cream.sources import file_items, reasoning_gym_items, social_iqa_items

MEMBER = "evals/siqa/test.jsonl"


def wheel(folder: Path, lines: list[str]) -> Path:
    path = folder / "evals-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, "".join(line + "\n" for line in lines))
    return path


def question(text: str, ideal: str) -> str:
    return json.dumps({"input": [{"role": "user", "content": text}], "ideal": ideal})


def test_siqa_questions_are_cut_into_prompt_and_choices(tmp_path: Path) -> None:
    path = wheel(
        tmp_path,
        [
            question("Alex lost a ring. What next? A: throw it away; B: ask around; C: leave the beach.", "B"),
            question("Sam's A grade: why? A: luck: pure; B: work; hard; C: Dr. Who", "C"),
            question("  A plan B? A: yes; B: no; C: e.g. maybe.\n", "A"),
        ],
    )
    items = list(social_iqa_items(path, MEMBER))
    # The options stay out of the prompt; each is a sentence of its own.
    assert items[0] == {
        "prompt": "Alex lost a ring. What next?",
        "target": "Ask around.",
        "answer": "Ask around.",
        "choices": ["Throw it away.", "Ask around.", "Leave the beach."],
    }
    assert items[1]["prompt"] == "Sam's A grade: why?"
    assert items[1]["choices"] == ["Luck: pure.", "Work; hard.", "Dr. Who."]
    assert items[1]["answer"] == "Dr. Who."
    assert items[2]["prompt"] == "A plan B?"
    assert items[2]["choices"] == ["Yes.", "No.", "E.g. maybe."]
    assert items[2]["target"] == "Yes."
    for item in items:
        assert is_correct("choice", item["target"], item["answer"], item["choices"])


@pytest.mark.parametrize(
    "line",
    [
        question("What next? A: throw it away; B: ask around.", "A"),
        question("What next?", "A"),
        question("What next? A: x; B: y; C: z.", "D"),
        question("What next? A: x; B: y; C: z.", ""),
        "{not json",
        json.dumps({"ideal": "A"}),
    ],
)
def test_a_siqa_line_of_another_form_is_named(line: str, tmp_path: Path) -> None:
    path = wheel(tmp_path, [question("What next? A: x; B: y; C: z.", "A"), line])
    with pytest.raises(UserError) as mistake:
        list(social_iqa_items(path, MEMBER))
    assert all(word in str(mistake.value) for word in (path.name, MEMBER, "line 2"))
    assert "\n" not in str(mistake.value)


def test_a_wheel_without_the_questions_is_named(tmp_path: Path) -> None:
    path = wheel(tmp_path, [])
    with pytest.raises(UserError) as mistake:
        list(social_iqa_items(path, "evals/other.jsonl"))
    assert path.name in str(mistake.value)
    assert "evals/other.jsonl" in str(mistake.value)


def test_a_wheel_that_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evals-1-py3-none-any.whl"
    path.write_text("not a zip")
    with pytest.raises(UserError, match=re.escape(path.name)):
        list(social_iqa_items(path, MEMBER))


SUMS = {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 3}
LEGS = {"min_animals": 1, "max_animals": 3, "min_instances": 1, "max_instances": 12}


@pytest.mark.parametrize(("dataset", "options"), [("chain_sum", SUMS), ("leg_counting", LEGS)])
def test_generated_targets_solve_their_own_items(dataset: str, options: dict) -> None:
    items = list(reasoning_gym_items(dataset, seed=3, count=200, settings=options))
    assert len(items) == 200
    for item in items:
        assert is_correct("number", item["target"], item["answer"], item["choices"]), item
        # And the verifier isn't content with any answer.
        assert not is_correct("number", item["target"], str(int(item["answer"]) + 1), item["choices"])
        assert item["answer"] not in item["prompt"].split()[-1]


def test_sums_are_right_by_arithmetic() -> None:
    for item in reasoning_gym_items("chain_sum", seed=3, count=100, settings=SUMS):
        terms = re.findall(r"([+-]?)\s*(\d+)", item["prompt"].removesuffix(" = ?"))
        assert len(terms) in (2, 3)
        assert sum(int(sign + digits) for sign, digits in terms) == int(item["answer"])


def test_worked_solutions_hold_step_by_step() -> None:
    for item in reasoning_gym_items("leg_counting", seed=3, count=100, settings=LEGS):
        # Every "x * y = z." and "x + y = z." written must be true, and every animal asked for counted.
        products = re.findall(r"(\d+) \* (\d+) = (\d+)\.", item["target"])
        asked = re.findall(r"(\d+) \w", item["prompt"])
        assert [n for n, _, _ in products] == asked
        assert all(int(n) * int(legs) == int(total) for n, legs, total in products)
        assert sum(int(total) for _, _, total in products) == int(item["answer"])
        sums = re.findall(r"((?:\d+ \+ )+\d+) = (\d+)\.", item["target"])
        assert len(sums) == (len(asked) > 1)
        assert all(sum(map(int, terms.split(" + "))) == int(total) for terms, total in sums)


def test_the_seed_decides_the_problems() -> None:
    one, again, other = (list(reasoning_gym_items("chain_sum", seed, 20, SUMS)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_an_unknown_generator_is_named() -> None:
    with pytest.raises(UserError) as mistake:
        list(reasoning_gym_items("sudoku", 1, 5, {}))
    assert "'sudoku'" in str(mistake.value)
    assert "chain_sum" in str(mistake.value)


@pytest.mark.parametrize("options", [{"min_tears": 2}, {"min_terms": 5, "max_terms": 2}])
def test_refused_generator_settings_are_one_sentence(options: dict) -> None:
    with pytest.raises(UserError) as mistake:
        list(reasoning_gym_items("chain_sum", 1, 5, options))
    assert "chain_sum" in str(mistake.value)
    assert "\n" not in str(mistake.value)


def lines_file(folder: Path, *lines: str) -> Path:
    path = folder / "own.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_items_of_a_file(tmp_path: Path) -> None:
    path = lines_file(
        tmp_path,
        json.dumps({"prompt": "1 + 1 = ?", "answer": "2"}),
        "",
        "   ",
        json.dumps({"prompt": "2 + 2 = ?", "answer": "4", "target": "Answer: 4", "note": "not read"}),
    )
    assert list(file_items(path, "number")) == [
        {"prompt": "1 + 1 = ?", "target": "2", "answer": "2", "choices": []},
        {"prompt": "2 + 2 = ?", "target": "Answer: 4", "answer": "4", "choices": []},
    ]
    line = json.dumps({"prompt": "größer?", "answer": "ja", "choices": ["nein", "ja"]}, ensure_ascii=False)
    assert list(file_items(lines_file(tmp_path, line), "choice")) == [
        {"prompt": "größer?", "target": "ja", "answer": "ja", "choices": ["nein", "ja"]}
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\u2029"])
def test_a_line_ends_at_a_newline_only(separator: str, tmp_path: Path) -> None:
    # JSON allows these characters inside a text, and ensure_ascii=False writes them as they are.
    prompt = f"one{separator}two"
    path = lines_file(tmp_path, json.dumps({"prompt": prompt, "answer": "2"}, ensure_ascii=False))
    assert [item["prompt"] for item in file_items(path, "number")] == [prompt]


def test_items_of_kind_open_have_a_target_and_no_answer(tmp_path: Path) -> None:
    path = lines_file(
        tmp_path,
        json.dumps({"prompt": "Tell me a story.", "target": "Once upon a time …"}),
        json.dumps({"prompt": "And another.", "target": "There was …", "answer": "not read", "note": "nor this"}),
        json.dumps({"prompt": "Short?", "answer": "Yes."}),
        json.dumps({"prompt": "No text?", "target": "t", "answer": 5}),
    )
    assert list(file_items(path, "open")) == [
        {"prompt": "Tell me a story.", "target": "Once upon a time …", "answer": "", "choices": []},
        {"prompt": "And another.", "target": "There was …", "answer": "", "choices": []},
        # What other kinds take for target when there is none.
        {"prompt": "Short?", "target": "Yes.", "answer": "", "choices": []},
        {"prompt": "No text?", "target": "t", "answer": "", "choices": []},
    ]


@pytest.mark.parametrize("kind", ["number", "choice"])
def test_an_item_without_an_answer_is_for_kind_open_alone(kind: str, tmp_path: Path) -> None:
    path = lines_file(tmp_path, json.dumps({"prompt": "p", "target": "1", "choices": ["1"]}))
    with pytest.raises(UserError, match="'answer'"):
        list(file_items(path, kind))
    assert len(list(file_items(path, "open"))) == 1


GOOD = json.dumps({"prompt": "p", "answer": "1", "choices": ["1", "2"]})
BAD = {
    "not json": ("{prompt: p}", "number", "not JSON"),
    "no prompt": ('{"answer": "1"}', "number", "'prompt'"),
    "no answer": ('{"prompt": "p"}', "number", "'answer'"),
    "empty prompt": ('{"prompt": "  ", "answer": "1"}', "number", "'prompt'"),
    "answer not text": ('{"prompt": "p", "answer": 1}', "number", "'answer'"),
    "null answer": ('{"prompt": "p", "answer": null}', "number", "'answer'"),
    "answer not a choice": ('{"prompt": "p", "answer": "3", "choices": ["1", "2"]}', "choice", "choices"),
    "no choices": ('{"prompt": "p", "answer": "1"}', "choice", "choices"),
    # These would pass here and fail, or count for nothing, hours later.
    "a list": ("[1, 2]", "number", ""),
    "a text": ('"p"', "number", ""),
    "choices one text": ('{"prompt": "p", "answer": "1", "choices": "123"}', "choice", "choices"),
    "choices null": ('{"prompt": "p", "answer": "1", "choices": null}', "choice", "choices"),
    "target not text": ('{"prompt": "p", "answer": "1", "target": 1}', "number", "'target'"),
    "infinite answer": ('{"prompt": "p", "answer": "inf"}', "number", "answer"),
    "open without a target": ('{"prompt": "p"}', "open", "'target'"),
    "open with an empty target": ('{"prompt": "p", "target": " "}', "open", "'target'"),
    "open with a null target": ('{"prompt": "p", "target": null, "answer": "a"}', "open", "'target'"),
    "open with a target not text": ('{"prompt": "p", "target": ["a"]}', "open", "'target'"),
    "open without a prompt": ('{"target": "t"}', "open", "'prompt'"),
    "open with choices not texts": ('{"prompt": "p", "target": "t", "choices": [1]}', "open", "choices"),
    "answer not a number": ('{"prompt": "p", "answer": "one"}', "number", "answer"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_refused_with_its_file_and_number(case: str, tmp_path: Path) -> None:
    line, kind, word = BAD[case]
    path = lines_file(tmp_path, GOOD, "", line)
    with pytest.raises(UserError) as mistake:
        list(file_items(path, kind))
    text = str(mistake.value)
    assert f"{path}, line 3" in text
    assert word in text
    assert "\n" not in text
