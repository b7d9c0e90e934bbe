"""The error messages for a wrong configuration."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.config import load
from supernova_ai.errors import ConfigError

Write = Callable[[str, str], Path]
BASE = "config/supernova.yaml"


def error_message(**sources: Any) -> str:
    """Return the message of the ConfigError that loading must raise."""
    with pytest.raises(ConfigError) as caught:
        load(**{"environ": {}, **sources})
    return str(caught.value)


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("streaming: true\nstratgy: cost", ":2: stratgy: there is no such setting."),
        (
            "routing:\n  stratgy: cost",
            ":2: routing.stratgy: there is no such setting. Did you mean 'strategy'?",
        ),
        (
            "routing:\n  strategy: cheap",
            ":2: routing.strategy is 'cheap': must be 'priority', 'round_robin', 'cost'",
        ),
        ("routing:\n  strategy: costs", "'latency'. Did you mean 'cost'?"),
        (
            "providers: {openai: {models: {standard gpt}}}",
            "is 'standard gpt': must be 'economy', 'standard', 'premium', 'embedding' or 'rerank'",
        ),
        ("providers: {openai: {models: {standard: ''}}}", "openai.models.standard is '': must be a name"),
        (
            "providers: {openai: {models: {rerank: gpt}}}",
            "providers.openai.models.rerank is 'gpt': must be of a provider of type azure_ai, cohere,",
        ),
        (
            "routing: {tasks: {embedding: economy}}",
            "routing.tasks.embedding is 'economy': is reserved: it is the task of embed()",
        ),
        ("routing: {retries: 11}", ":1: routing.retries is 11: must be less than or equal to 10"),
        ("routing: {retries: yes}", ":1: routing.retries is true: must be a valid integer"),
        (
            "routing: {max_tokens: 999999999}",
            "routing.max_tokens is 999999999: must be less than or equal to 1000000",
        ),
        (
            "routing:\n  priority: [openai, opnai]",
            ":2: routing.priority[1] is 'opnai': must be one of 'providers'.",
        ),
        ("routing: {priority: [ollama, ollama]}", "routing.priority[1] is 'ollama': must not appear twice"),
        ("budgets: [{name: probe, limit: 1, per: day}]", "budgets[0].name is 'probe': is reserved"),
        (
            "routing: {degrade: [premium, chep]}",
            "routing.degrade[1] is 'chep': must be 'economy', 'standard' or",
        ),
        ("routing: {tasks: {chat: cheap}}", "routing.tasks.chat is 'cheap': must be 'economy'"),
        ("environment: 5", ":1: environment is 5: must be text; put quotes around it"),
        ("database: [a]", ":1: database: must be text"),
        ("database: ~nobodyhere/x.db", ":1: database is '~nobodyhere/x.db': must be a full path: the home"),
        ("database: sqlite:///~nobodyhere", "must be a full path: the home folder"),
        ("backup: {to: ~nobodyhere/x}", ":1: backup.to is '~nobodyhere/x': must be a full path"),
        ("backup: {passphrase_file: ~nobodyhere/x}", "backup.passphrase_file is '~nobodyhere/x': must be a"),
        ("reports: {folder: ~nobodyhere/x}", "reports.folder is '~nobodyhere/x': must be a full path"),
        ("logs: {file: ~nobodyhere/x}", "logs.file is '~nobodyhere/x': must be a full path"),
        ("redis: localhost", ":1: redis is 'localhost': must be a redis://, rediss:// or unix:// URL"),
        ("budgets:", ":1: budgets is null: must be a list; write [] for none"),
        ("routing: fast", ":1: routing is 'fast': must be a mapping of settings"),
        ("providers: {openai: {models: gpt}}", ":1: providers.openai.models is 'gpt': must be a mapping"),
        ("keys: {allow_environment: maybe}", ":1: keys.allow_environment is 'maybe': must be true or false"),
        ("budgets:\n- {name: a, per: day}", ":2: budgets[0].limit is missing"),
        ("budgets:\n- {name: a, limit: 0, per: day}", ":2: budgets[0].limit is 0: must be greater than 0"),
        (
            "budgets:\n- {name: a, limit: yes, per: day}",
            ":2: budgets[0].limit is true: True is not an amount",
        ),
        (
            "budgets:\n- {name: a, limit: .nan, per: day}",
            ":2: budgets[0].limit is nan: nan is not a finite amount",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day, tag: {desk: fx, book: b}}",
            "budgets[0].tag: must be one tag, such as {desk: fx}, not 2",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day, tag: {desk: ''}}",
            "budgets[0].tag: tag 'desk' must have 1 to 64 characters, not 0",
        ),
        (
            'budgets:\n- {name: a, limit: 1, per: day, user: "*", team: "*"}',
            "budgets[0].team is '*': only one of user and team may be '*': write a budget for each",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: dya}",
            ":2: budgets[0].per is 'dya': must be 'day', 'week' or 'month'",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day}\n- {name: a, limit: 2, per: week}",
            ":3: budgets[1].name is 'a': must not appear twice",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day, provider: openia}",
            ":2: budgets[0].provider is 'openia': must be a known provider. Did you mean 'openai'?",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day, task: chta}",
            "must be a known task. Did you mean 'chat'?",
        ),
        (
            "budgets:\n- {name: a, limit: 1, per: day, time_zone: Europe/Pariss}",
            "must be an IANA time zone such as 'UTC' or 'Europe/Paris'. Did you mean 'Europe/Paris'?",
        ),
        ("alerts: {thresholds: [80, 50]}", ":1: alerts.thresholds: must be ascending"),
        ("alerts: {thresholds: [101]}", "alerts.thresholds[0] is 101: must be less than or equal to 100"),
        ("alerts: {spike: {factor: 1}}", "alerts.spike.factor is 1: must be greater than 1"),
        (
            "alerts: {spike: {factr: 3}}",
            "alerts.spike.factr: there is no such setting. Did you mean 'factor'?",
        ),
        ("alerts: {spike: {least: 0}}", "alerts.spike.least is 0: must be greater than 0"),
        (
            "alerts: {notify: ['vault:']}",
            "must be an Apprise URL such as mailto://… or slack://…, or vault:NAME",
        ),
        ("alerts: {notify: ['vault://x']}", "(not shown here): must be an Apprise URL"),
        (
            "providers: {azure: {models: {standard: m}}}\nrouting: {priority: [azure]}",
            "providers.azure.api_base is null: must be set for a provider of type azure; see docs/prov",
        ),
        (
            "providers: {aws: {type: bedrock, models: {standard: m}}}\nrouting: {priority: [aws]}",
            "providers.aws.region is null: must be set for a provider of type bedrock",
        ),
        (
            "providers:\n  openai: {region: eu-west-1}",
            ":2: providers.openai.region is 'eu-west-1': is only for a provider of type bedrock or vertex_ai",
        ),
        (
            "providers:\n  openai:\n    params: {max_tokens: 7}",
            ":3: providers.openai.params.max_tokens is 7: is set by this package for each call",
        ),
        ("providers: {openai: {params: {service_tier: flex}}}", "changes the price of a call, which this"),
        ("providers: {openai: {params: {extra_body: {n: 5}}}}", "changes the price of a call, which this"),
        ("providers: {openai: {params: {extra_body: {tools: []}}}}", "changes the price of a call, which"),
        ("providers: {openai: {params: {extra_body: {model: gpt-6-astra}}}}", "is set by this package"),
        ("providers: {bedrock: {params: {aws_region_name: x}}}", "write it as 'region'"),
        ("providers: {bedrock: {params: {aws_role_name: x}}}", "may hold a secret: store it with"),
        ("providers: {openai: {params: {extra_headers: {Authorization: x}}}}", "may hold a secret: store it"),
        ("providers: {openai: {params: {user: [{a: sk-0123456789abcdef}]}}}", "may hold a secret: store it"),
        ("providers: {openai: {params: {runtime_endpoint: 'http://x'}}}", "requests go only to 'api_base'"),
        (
            "providers:\n  openai:\n    models: {econmy: x}",
            ":3: providers.openai.models.econmy is 'econmy': must be",
        ),
        (
            "providers:\n  openai:\n    models: {economy: a b}",
            "economy is 'a b': must be a name without spaces",
        ),
        ("providers: {openai: {models: {economy: openai/x}}}", "must be the model's name without 'openai/'"),
        ("providers:\n  OpenAI: {}", ":2: providers.OpenAI is 'OpenAI': must be a name of lowercase letters"),
        ("providers: {ollama: {price: cheap}}", "providers.ollama.price is 'cheap': must be 'free'"),
        ("providers: {x: {prices: {m: {input: 1}}}}", "providers.x.prices.m.output is missing"),
        (
            "providers: {openai: {timeout: {total: 0}}}",
            "providers.openai.timeout.total is 0: must be greater than 0",
        ),
        ("providers: {new: {}}\nrouting: {priority: [new]}", "providers.new.models: must name a model"),
        ("providers: {ollama: {api_base: localhost}}", "must be a URL such as https://host"),
        ("providers: {ollama: {api_base: 'http://localhost:99999'}}", "providers.ollama.api_base is"),
        ("providers: {ollama: {api_base: 'http://10.0.0.2:11434'}}", "must be https or on this machine"),
        ("- a\n- b", ":1: the file must be a mapping of settings"),
        (
            "streaming: true\nstreaming: false",
            ":2: 'streaming' appears twice in one mapping, first at config/",
        ),
        ("a: &x 1\nb: *x", ":2:4: not valid YAML: aliases (*name) are not supported"),
        ("routing:\n  retries: 1\n strategy: cost", ":3:2: not valid YAML"),
        ("routing: {retries: 1", ":1:21: not valid YAML"),
        ("routing:\n\tretries: 1", ":2:1: not valid YAML: found character '\\t' that"),
        ("routing:\n\tretries: 1", "Indent with spaces, not tabs."),
        ("a: !!python/object:os.system x", ":1:4: not valid YAML: could not determine a constructor"),
    ],
)
def test_an_error_names_the_line_the_setting_the_value_and_the_remedy(
    write: Write, yaml: str, line: str
) -> None:
    """Each problem is reported with file and line, the setting's full name, its value and the remedy."""
    write(BASE, yaml)
    message = error_message()
    assert line in message
    assert "config/supernova.yaml:" in message


@pytest.mark.parametrize(
    "number",
    [
        "0100",
        "1:30",
        "-1:30",
        "190:20:30.15",
        "0x1F",
        "0b11",
        "1:" + "59:" * 5_000 + "0",
        "0x" + "f" * 10**6,
    ],
)
def test_a_number_that_yaml_reads_differently_is_refused(write: Write, number: str) -> None:
    """A number that YAML would read in another base is refused with its line."""
    path = write(BASE, f"streaming: true\nrouting: {{retries: {number}}}")
    message = error_message(path=path)
    assert f"{path}:2: {number[:40]} is not a plain decimal number" in message
    assert "1 problem" in message  # and not that the value is missing too
    assert len(message) < 1_000


@pytest.mark.parametrize("number", ["0", "7", "+7", "0.5", "1_0"])
def test_plain_numbers_are_read(write: Write, number: str) -> None:
    """Decimal numbers with a sign, a point or underscores are read as such; quotes make text."""
    path = write(BASE, f"routing: {{wait: {number}}}\nproviders: {{openai: {{models: {{economy: '0100'}}}}}}")
    config = load(path, environ={}).config
    assert config.routing.wait == float(number)
    assert config.providers["openai"].models["economy"] == "0100"


def test_commas_in_a_number_are_refused(write: Write) -> None:
    """YAML reads 1,000 as text, so it is refused as a number."""
    path = write(BASE, "routing: {max_tokens: '1,000'}\nbudgets: [{name: a, limit: '1,000', per: day}]")
    message = error_message(path=path)
    assert "routing.max_tokens is '1,000': must be a valid integer" in message
    assert "budgets[0].limit is '1,000'" in message


def test_only_the_first_of_many_problems_are_listed(write: Write) -> None:
    """Of thousands of problems the message lists twenty and counts the rest."""
    path = write(BASE, "budgets:\n" + "- {name: a, limit: 0, per: dya, odd: 1}\n" * 1_000)
    lines = error_message(path=path).splitlines()
    assert "3,000 problems" in lines[0]
    assert (len(lines), lines[-1]) == (22, "  … and 2,980 more")
    path = write(BASE, f"{'x' * 10**6}: 1")
    assert len(error_message(path=path)) < 2_000


def test_a_deeply_nested_file_is_refused(write: Write) -> None:
    """Nesting beyond the recursion limit is a ConfigError."""
    write(BASE, "a: " + 3000 * "[")
    assert error_message() == "config/supernova.yaml is nested deeper than any setting: remove nesting"


def test_the_example_in_the_docs_gives_its_message(write: Write) -> None:
    """The wrong file in docs/configuration.md gives exactly the message shown there."""
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    yaml, text = re.findall(r"```\w+\n(.*?)```", page.partition("## When something")[2], re.DOTALL)[:2]
    write(BASE, yaml)
    assert error_message() == text.strip()


def test_every_problem_is_listed_at_once(write: Write) -> None:
    """One error lists the problems of the file, the overlay and the variables together."""
    write(BASE, "routing:\n  retries: -1\n  retries: 2\nstreamin: true")
    write("config/environments/production.yaml", "enabled: maybe")
    environ = {"SUPERNOVA_ENV": "production", "LLM_COST_TRACKING": "false", "LLM_DAILY_COST_LIMIT": "lots"}
    header, *lines = error_message(environ=environ).splitlines()
    assert header == "the configuration cannot be used, 6 problems:"
    assert [line.strip().split(": ")[0] for line in lines] == [
        "config/supernova.yaml:3",
        "LLM_COST_TRACKING",
        "config/environments/production.yaml:1",
        "config/supernova.yaml:2",
        "LLM_DAILY_COST_LIMIT",
        "config/supernova.yaml:4",
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LLM_STREAMING", "perhaps", "LLM_STREAMING: streaming is 'perhaps': must be true or false"),
        (
            "LLM_PROVIDER",
            "OpenAI",
            "LLM_PROVIDER: routing.priority[0] is 'OpenAI': must be one of 'providers'. "
            "Did you mean 'openai'?",
        ),
        (
            "LLM_PROVIDER",
            "acme",
            "must be one of 'providers'. Use one of openai, anthropic, ollama, huggingface.",
        ),
        ("LLM_PROVIDER_PRIORITY", "ollama,opnai", "LLM_PROVIDER_PRIORITY: routing.priority[1] is 'opnai'"),
        (
            "LLM_MONTHLY_COST_LIMIT",
            "$9",
            "LLM_MONTHLY_COST_LIMIT: budgets[1].limit is '$9': '$9' is not an amount of money: "
            "write it as 5.00",
        ),
        (
            "OLLAMA_BASE_URL",
            "localhost:11434",
            "OLLAMA_BASE_URL: providers.ollama.api_base is 'localhost:11434'",
        ),
        (
            "LLM_COST_TRACKING",
            "false",
            "LLM_COST_TRACKING is 'false': must be true, or unset: no budget can be kept",
        ),
        ("API_KEY_ENCRYPTION_ENABLED", "0", "must be true, or unset: keys are never stored in clear"),
    ],
)
def test_a_wrong_variable_is_named_as_the_origin(name: str, value: str, expected: str) -> None:
    """The origin of a value from the environment is the variable's name."""
    assert expected in error_message(environ={name: value})


def test_a_wrong_line_of_dotenv_is_named_with_the_variable(write: Write) -> None:
    """The origin of a value from .env is .env and the variable's name."""
    write(".env", "LLM_STREAMING=perhaps")
    assert ".env: LLM_STREAMING: streaming is 'perhaps'" in error_message(environ=None)


def test_a_wrong_argument_is_named_as_such() -> None:
    """The origin of a value given in code is "argument"."""
    assert "argument: routing.retries is 'x'" in error_message(overrides={"routing": {"retries": "x"}})


@pytest.mark.parametrize(
    "yaml",
    [
        "providers: {openai: {api_key: canary}}",
        "providers: {openai: {keys: [canary]}}",
        "providers: {openai: {keys: canary}}",
        "keys: canary",
        "alerts: {notify: [canary]}",
        "alerts: {notify: canary}",
        "redis: http://ann:canary@cache",
        "database: {password: canary}",
        "providers: {ollama: {api_base: 'http://ann:canary@host'}}",
        "routing: {strategy: sk-canary12345}",
        "OPENAI_API_KEY: canary",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(write: Write, yaml: str) -> None:
    """A key or password in the wrong setting is neither in the message nor in the traceback."""
    write(BASE, yaml)
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    assert "canary" not in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_key_in_the_yaml_gets_the_command_for_keys(write: Write) -> None:
    """The error for an API key in the YAML names the command that stores it."""
    write(BASE, "providers: {openai: {api_key: x}}")
    assert "API keys do not belong here; store one with `supernova keys add`" in error_message()


def test_a_file_that_is_not_text_is_refused_by_name(folder: Path) -> None:
    """A binary YAML file or .env is a ConfigError that names the file."""
    for name in ("binary.yaml", ".env"):
        (folder / name).write_bytes(b"\xff\xfe\x00\x81")
    assert error_message(path="binary.yaml").startswith("binary.yaml cannot be read")
    assert error_message(environ=None).startswith(".env cannot be read")


def test_plain_http_is_for_this_machine_unless_allowed() -> None:
    """Loopback needs no TLS; other hosts do, unless SECURE_HEADERS_ENABLED=false."""
    for host in ("localhost:1", "127.0.0.2", "[::1]:11434", "ollama.localhost"):
        assert load(environ={"OLLAMA_BASE_URL": f"http://{host}/"}).config.providers["ollama"].api_base
    lan = {"OLLAMA_BASE_URL": "http://10.0.0.2:11434"}
    assert "must be https" in error_message(environ=lan)
    loaded = load(environ={**lan, "SECURE_HEADERS_ENABLED": "false"})
    assert loaded.config.providers["ollama"].api_base == "http://10.0.0.2:11434"
