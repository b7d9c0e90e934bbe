"""The prompt library: its templates, the precedence of files, and the hashes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from supernova_ai.config import Config
from supernova_ai.config.advice import LanguageCode
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import Library, Template, as_file, faults
from tests.prompts.conftest import Write

BUILT_IN = Library()
TEMPLATES = [BUILT_IN.get(name) for name in BUILT_IN.names()]
ADVICE = [template for template in TEMPLATES if template.name.startswith("advice-")]


def by_name(template: Template) -> str:
    return template.name


def test_names_are_those_documented() -> None:
    """There is a template for chat, summaries, each kind of analysis, and advice on each asset class."""
    assert BUILT_IN.names() == (
        "advice-crypto",
        "advice-futures",
        "advice-fx",
        "advice-option",
        "advice-stock",
        "analysis-financial",
        "analysis-news",
        "analysis-risk",
        "analysis-sentiment",
        "analysis-summary",
        "chat",
        "summary",
    )


@pytest.mark.parametrize("template", TEMPLATES, ids=by_name)
def test_built_in_template_is_valid(template: Template) -> None:
    """Each built-in template passes the check, and its messages have no surrounding whitespace."""
    assert faults(template, Config().routing.tasks) == ()
    messages = template.render(template.example)
    assert [message["role"] for message in messages] == ["system", "user"][not template.system :]
    assert all(message["content"].strip() == message["content"] for message in messages)


@pytest.mark.parametrize("template", ADVICE, ids=by_name)
def test_advice_asks_for_its_sections_and_has_a_disclaimer(template: Template) -> None:
    """Advice has three lists, its own asset class, and disclaimers that are not sent to the model."""
    assert (
        "three lists of sentences: for_it, against_it and risk"
        in template.render(template.example)[0]["content"]
    )
    assert (template.task, template.tier) == ("analysis", None)
    assert set(template.disclaimers) == set(get_args(LanguageCode))
    said = "\n".join(message["content"] for message in template.render(template.example))
    assert not any(text in said for text in template.disclaimers.values())
    assert len({t.disclaimer() for t in ADVICE}) == len({t.hash for t in ADVICE}) == len(ADVICE)


@pytest.mark.parametrize("action", ["buy", "sell", "hold", "reduce", "avoid"])
def test_advice_has_words_for_every_action(action: str) -> None:
    """The prompt names the action and explains what it means."""
    (_, user) = BUILT_IN.get("advice-stock").render({**ADVICE[0].example, "action": action})
    assert f"Decision: {action} EXMPL.\n" in user["content"]
    meanings = {
        "buy": "entering or adding",
        "sell": "holding none of it",
        "hold": "doing nothing now",
        "reduce": "holding less of it",
        "avoid": "staying out",
    }
    assert [name for name, words in meanings.items() if words in user["content"]] == [action]


def test_the_examples_of_advice_are_slots() -> None:
    """The prompt shows slots in single braces, and nothing of Jinja is left."""
    said = "".join(message["content"] for message in BUILT_IN.get("advice-stock").render(ADVICE[0].example))
    assert "{close.vs.sma_50}, which is usually a sign of an upward trend." in said
    assert '"for_it": ["{change_63.move}."]' in said
    assert "{{" not in said
    assert "{%" not in said


def test_optional_parts_are_left_out() -> None:
    """News and faulty sentences appear only if they are given."""
    template = BUILT_IN.get("advice-option")
    given = {"news": "x", "violations": ["z"]}
    bare = template.render({**template.example, **dict.fromkeys(given)})[1]["content"]
    full = template.render({**template.example, **given})[1]["content"]
    for word in ("NEWS", "VIOLATIONS"):
        assert (f"<<<{word}" in bare, f"<<<{word}" in full) == (False, True)
    assert "cannot be used" not in bare
    assert full.endswith("Now write the better sentences.")


def test_chat_message_is_unchanged() -> None:
    """A chat message reaches the model unchanged, whatever characters it has."""
    message = "  <b>{{ 7 * 7 }}</b> {% raw %} >>> \N{GRINNING FACE}\n"
    assert BUILT_IN.get("chat").render({"message": message}) == ({"role": "user", "content": message},)


@pytest.mark.parametrize("name", ["chatt", "../templates/chat", "_advice", ""])
def test_unknown_name_lists_the_known_ones(name: str) -> None:
    """An unknown name, a path or a shared part is refused; the message lists the templates."""
    with pytest.raises(InvalidRequest, match=r"there is no prompt .*choose one of: advice-crypto, .*chat"):
        BUILT_IN.get(name)


def test_own_template_is_added(folder: Path, write: Write) -> None:
    """A file in the user's folder is a template beside the built-in ones, and its source is the file."""
    file = write("analysis-esg", "variables: {content: {untrusted: true}}\n", "Judge:\n{{ content }}")
    library = Library([folder])
    assert set(library.names()) == {*BUILT_IN.names(), "analysis-esg"}
    assert library.get("analysis-esg").source == str(file)
    assert library.get("chat").source == "built-in"


def test_own_template_replaces_the_built_in_one(folder: Path, write: Write) -> None:
    """A file of the same name replaces the built-in one, in this library only."""
    write("chat", "variables: {message: text}\nsystem: Answer in French.\n", "{{ message }}")
    assert Library([folder]).get("chat").render({"message": "Hi"})[0]["content"] == "Answer in French."
    assert BUILT_IN.get("chat").system is None
    assert Library().get("chat").system is None


def test_stronger_folder_comes_first(tmp_path: Path, folder: Path, write: Write) -> None:
    """The first of two folders wins, and a folder that does not exist is ignored."""
    write("mine", body="weak")
    strong = tmp_path / "strong"
    strong.mkdir()
    (strong / "mine.md").write_text((folder / "mine.md").read_text().replace("weak", "strong"))
    assert Library([tmp_path / "absent", strong, folder]).get("mine").body == "strong"


def test_extending_changes_only_the_given_fields(folder: Path) -> None:
    """A file that extends its own name keeps the built-in template's other fields."""
    (folder / "advice-stock.md").write_text(
        "---\nname: advice-stock\nversion: 7\nextends: advice-stock\ndisclaimer: Ask us.\n"
        "variables: {horizon: {default: a year}}\nexample: {symbol: OURS}\n---\n"
    )
    ours, theirs = Library([folder]).get("advice-stock"), BUILT_IN.get("advice-stock")
    assert (ours.version, ours.disclaimer("de")) == (7, "Ask us.")
    assert (ours.body, ours.system, ours.contract) == (theirs.body, theirs.system, theirs.contract)
    assert {v.name for v in ours.variables} == {v.name for v in theirs.variables} | {"horizon"}
    assert ours.example == {**theirs.example, "symbol": "OURS"}
    assert ours.hash != theirs.hash


def test_shared_part_is_replaced_wherever_it_is_used(folder: Path) -> None:
    """A file that replaces a shared part changes every template that extends it, and its hash."""
    header = "---\nname: _advice\nversion: 2\nextends: _advice\n---\n"
    (folder / "_advice.md").write_text(header + "In one line: {{ action }} {{ symbol }}. {{ facts }}")
    library = Library([folder])
    for template in ADVICE:
        changed = library.get(template.name)
        assert changed.body.startswith("In one line: ")
        assert (changed.disclaimers, changed.source) == (template.disclaimers, "built-in")
        assert changed.hash != template.hash


def test_hash_follows_every_file(folder: Path, write: Write) -> None:
    """The hash changes if the text, the header or an extended file changes."""
    hashes = []
    for header, body, shared in [
        ("extends: _base\n", "Be brief.", "Shared."),
        ("extends: _base\n", "Be brief.", "Shared."),
        ("extends: _base\n", "Be brief!", "Shared."),
        ("extends: _base\ntier: economy\n", "Be brief.", "Shared."),
        ("extends: _base\n", "Be brief.", "Shared!"),
    ]:
        write("_base", body=shared)
        write("mine", header, body)
        hashes.append(Library([folder]).get("mine").hash)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_library_does_not_change(folder: Path, write: Write) -> None:
    """A library keeps its templates when the files change."""
    file = write("mine", body="before")
    library = Library([folder])
    file.unlink()
    write("other")
    assert library.get("mine").body == "before"
    assert "other" not in library.names()


@pytest.mark.parametrize("template", TEMPLATES, ids=by_name)
def test_exported_file_is_the_same_template(template: Template, folder: Path) -> None:
    """A template exported to a file in the user's folder renders to the same messages."""
    (folder / f"{template.name}.md").write_text(as_file(template))
    again = Library([folder]).get(template.name)
    assert again.render(template.example) == template.render(template.example)
    assert again.variables == template.variables
    assert (again.contract, again.disclaimers, again.example) == (
        template.contract,
        template.disclaimers,
        template.example,
    )


def test_output_may_be_json(folder: Path, write: Write) -> None:
    """A contract may be a JSON schema."""
    write("mine", "output: {schema: {type: object}}\n")
    contract = Library([folder]).get("mine").contract
    assert (contract.kind, contract.schema) == ("json", {"type": "object"})


def test_own_file_may_be_from_windows(folder: Path) -> None:
    """A byte order mark and Windows line endings change nothing, including the hash."""
    text = "---\nname: mine\nversion: 1\ntask: chat\n---\nBe brief.\nÉvite.\n"
    hashes = []
    for data in (text.encode(), b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()):
        (folder / "mine.md").write_bytes(data)
        template = Library([folder]).get("mine")
        hashes.append((template.hash, template.body))
    assert hashes[0] == hashes[1]


def test_wrong_own_file_is_a_config_error(folder: Path) -> None:
    """The built-in template does not replace a wrong file: its name fails, and other names do not."""
    (folder / "chat.md").write_text("Be brief.")
    library = Library([folder])
    with pytest.raises(
        ConfigError, match=r"prompts cannot be used, 1 problem:\n  \S+chat\.md:1: a template begins"
    ):
        library.check()
    with pytest.raises(ConfigError, match=r"the prompt 'chat' cannot be used.*\n  \S+chat\.md:1: a template"):
        library.get("chat")
    assert library.get("summary") == BUILT_IN.get("summary")
    assert library.names() == BUILT_IN.names()


def test_a_wrong_base_affects_only_its_extensions(folder: Path) -> None:
    """Templates that extend a wrong file fail with its problem; the built-in base does not replace it."""
    (folder / "_advice.md").write_text("Be brief.")
    library = Library([folder])
    for name in library.names():
        if name.startswith("advice-"):
            with pytest.raises(ConfigError, match=r"_advice\.md:1: a template begins"):
                library.get(name)
        else:
            assert library.get(name) == BUILT_IN.get(name)
    assert len(library.problems()) == 1


def test_an_empty_file_is_ignored(folder: Path) -> None:
    """An empty file is ignored: the shell empties the target of a redirection before the command reads it."""
    (folder / "chat.md").touch()
    library = Library([folder])
    assert library.get("chat") == BUILT_IN.get("chat")
    library.check()
