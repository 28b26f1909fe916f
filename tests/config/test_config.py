"""The settings: their defaults, their templates, and what is refused."""

import inspect
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from configparser import RawConfigParser
from datetime import date, datetime
from pathlib import Path
from typing import Any

import luigi
import pytest
import wired
from conftest import ROOT, skip
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import LuigiTomlParser

from luigi_tasks import config, storage
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks import TaxiMerge
from luigi_tasks.tasks.script import configured
from luigi_tasks.urls import Url, redacted

JANUARY = date(2024, 1, 1)

Set = Callable[[str, str, str], None]

#: Our sections, one class each.
SECTIONS = {
    name: kind
    for name, kind in inspect.getmembers(config, inspect.isclass)
    if issubclass(kind, luigi.Config) and kind.__module__ == config.source.__module__
}
#: Luigi's, with a task of ours that it reads by its name.
LUIGIS = {"RangeMonthly", "TaxiSpark", "core", "worker", "resources", "retcode", "scheduler"}

#: Prints every setting as the package sees it, Luigi's own ones included.
SHOW = """
import json, luigi_tasks.tasks
from luigi.configuration import get_config
from luigi_tasks import config
settings = get_config()
print(json.dumps({
    "file": {s: dict(settings.items(s, raw=True)) for s in settings.sections()},
    "seen": {s: vars(config)[s]().to_str_params() for s in %s},
}))
"""


def packaged() -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((ROOT / "luigi.cfg").read_text(encoding="utf-8"))
    return parser


def show_settings(folder: Path, **environment: str) -> dict[str, Any]:
    """Show the settings that a process in this folder has."""
    printed = subprocess.run(
        [sys.executable, "-c", SHOW % sorted(SECTIONS)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(printed.stdout))


def refusal() -> str:
    """What ``check`` says; one line."""
    with pytest.raises(TaxiError) as refused:
        config.check("green", JANUARY)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# the file


def test_every_key_is_a_parameter_and_every_parameter_a_key() -> None:
    parser = packaged()
    assert set(parser.sections()) == set(SECTIONS) | LUIGIS
    for name, kind in SECTIONS.items():
        assert set(parser.options(name)) == {key for key, _ in kind.get_params()}


def test_every_key_has_a_comment_above_it() -> None:
    section, above = "", ""
    for line in (ROOT / "luigi.cfg").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#") and section in SECTIONS:
            assert above.startswith("# "), f"[{section}] {line} has no comment"
        above = line


def test_without_a_file_the_settings_are_those_of_the_package(tmp_path: Path) -> None:
    shown, parser = show_settings(tmp_path), packaged()
    for name in parser.sections():
        assert shown["file"][name].items() >= dict(parser.items(name)).items()
    for name, kind in SECTIONS.items():
        for key, parameter in kind.get_params():
            assert parameter.parse(shown["seen"][name][key]) == parameter.parse(
                parser.get(name, key)
            )


def test_a_file_of_ones_own_needs_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text("[storage]\nroot = elsewhere\n[core]\nlog_level = DEBUG\n")
    shown, parser = show_settings(tmp_path), packaged()
    assert shown["seen"]["storage"] == {"root": "elsewhere"}
    assert shown["file"]["core"]["log_level"] == "DEBUG"
    assert shown["file"]["core"]["local_scheduler"] == "true"
    assert shown["seen"]["source"]["url"] == parser.get("source", "url")


def test_a_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "mine.cfg"
    file.write_text("[storage]\nroot = elsewhere\n")
    shown = show_settings(tmp_path, LUIGI_CONFIG_PATH=str(file))
    assert shown["seen"]["storage"] == {"root": "elsewhere"}
    assert shown["seen"]["runner"]["kind"] == "process"


def test_a_flag_beats_the_file_and_the_file_the_default(settings: Set) -> None:
    settings("storage", "root", "by-file")
    assert config.storage().root == "by-file"
    with CmdlineParser.global_instance(["TaxiMerge", "--storage-root", "by-flag"]):
        assert config.storage().root == "by-flag"
        assert config.warehouse().url == "embedded"
    assert config.storage().root == "by-file"


def test_every_key_is_a_flag() -> None:
    parser = packaged()
    flags = [
        word
        for name in SECTIONS
        for key in parser.options(name)
        for word in (f"--{name}-{key}".replace("_", "-"), parser.get(name, key))
    ]
    with CmdlineParser.global_instance(["TaxiMerge", *flags]):
        config.check("green", JANUARY)


# secrets


def test_a_secret_comes_from_the_environment(
    settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_PASSWORD", "open sesame")
    settings("warehouse", "url", "postgresql://taxi:${TAXI_PASSWORD}@db/taxi")
    assert config.warehouse().render("url") == "postgresql://taxi:open sesame@db/taxi"


def test_a_variable_that_is_not_set_is_named_in_one_line(settings: Set) -> None:
    settings("warehouse", "url", "postgresql://taxi:${TAXI_NOWHERE}@db/taxi")
    assert "TAXI_NOWHERE" in refusal()
    assert "warehouse" in refusal()


#: Passwords that were run as templates, broke JSON, or took a URL apart.
HOSTILE = [
    "se{{cret",
    "se{%cret",
    "{#secret#}",
    "{{ 6 * 7 }}secret",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}secret",
    "{{ taxi_type }}secret",
    "zones_url secret",
    "${TAXI_OTHER}secret",
    "%(root)s%%secret",
    'se"cret\\',
    'secret", "LD_PRELOAD": "x',
    "secret ",
    "",
]


@pytest.mark.parametrize("password", HOSTILE)
def test_a_value_of_the_environment_is_never_run(
    settings: Set, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("TAXI_PASSWORD", password)
    monkeypatch.setenv("TAXI_OTHER", "other")
    settings("warehouse", "url", "postgresql://{{ 'taxi' }}:${TAXI_PASSWORD}@db/taxi")
    settings("source", "archive", "https://mirror/${TAXI_PASSWORD}/{{ month }}")
    settings("source", "url", "{{ archive }}?key=${TAXI_PASSWORD}&of={{ taxi_type }}")
    settings("runner", "environment", '{"TOKEN": "a ${TAXI_PASSWORD}", "B": "b"}')
    settings("runner", "volumes", '["/${TAXI_PASSWORD}:/b"]')
    settings("transform", "script", "mine ${TAXI_PASSWORD}")
    for _ in range(2):
        assert config.warehouse().render("url") == f"postgresql://taxi:{password}@db/taxi"
        [url] = config.source().urls("green", JANUARY)
        assert url == f"https://mirror/{password}/2024-01?key={password}&of=green"
        assert config.runner().environment == {"TOKEN": f"a {password}", "B": "b"}
        assert config.runner().volumes == (f"/{password}:/b",)
        assert config.transform().script == f"mine {password}"


@pytest.mark.parametrize(
    "template", ["{{ '${TAXI_STAGE}' | upper }}", '{{ "${TAXI_STAGE}".upper() }}']
)
def test_an_expression_has_the_value_of_a_variable(
    settings: Set, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """And not its name; and the present one."""
    settings("storage", "root", template)
    for stage in ("test", "{{prod}}"):
        monkeypatch.setenv("TAXI_STAGE", stage)
        assert config.storage().render("root") == stage.upper()
    settings("storage", "root", "{%% if '${TAXI_STAGE}' == 'test' %%}a{%% else %%}b{%% endif %%}")
    assert config.storage().render("root") == "b"


def test_a_variable_fits_every_key(settings: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"N": "7", "NO": "false", "KIND": "docker", "MOST": '{"stray": 1}'}.items():
        monkeypatch.setenv(f"TAXI_{name}", value)
    settings("source", "timeout", "${TAXI_N}.5")
    settings("source", "retries", "${TAXI_N}")
    settings("cleanup", "enabled", "${TAXI_NO}")
    settings("runner", "kind", "${TAXI_KIND}")
    settings("quality", "most", "${TAXI_MOST}")
    settings("core", "lock_size", "${TAXI_N}")
    config.check("green", JANUARY)
    assert (config.source().timeout, config.source().retries) == (7.5, 7)
    assert (config.cleanup().enabled, config.runner().kind) == (False, "docker")
    assert config.quality().most == {"stray": 1}
    assert luigi.configuration.get_config().getint("core", "lock_size") == 7


def test_a_flag_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell has put its variables in; what is left is a script's own."""
    monkeypatch.setenv("TAXI_FILE", "x")
    with CmdlineParser.global_instance(["TaxiMerge", "--transform-script", "sh -c '${TAXI_FILE}'"]):
        assert config.transform().script == "sh -c '${TAXI_FILE}'"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("source url", "file:///${TPW}/{{ month.x${TPW} }}", "[source] url: "),
        ("source url", "file:///{{ {}['${TPW}'] }}", "no attribute '${TPW}'"),
        ("source url", "file:///{{ '${TPW}' | int('a') + 1 }}", "[source] url: "),
        (
            "source url",
            "file:///{{ 1 if '${TPW}' == '$' + '{TPW}' else 1 // 0 }}",
            "the variables'",
        ),
        ("source url", "${TPW}://host/x", "[source] url: ${TPW}://host/x: with the variables'"),
        ("source url", "https://u:${TPW}/@host/x", "[source] url: "),
        ("source url", "https://${TPW}:x/", "${TPW}:x/: with the variables'"),
        ("source zones_url", "${TPW}", "[source] zones_url: ${TPW}: with the variables'"),
        (
            "source timeout",
            "${TPW}",
            "[source] timeout: could not convert string to float: '${TPW}'",
        ),
        ("source retries", "-${TPWN}", "retries and time_limit 0 or more"),
        ("source retries", "${TPW}", "'${TPW}'"),
        ("warehouse url", "${TPW}", "must be 'embedded' or begin with postgresql://"),
        ("trips table", "a.${TPW}.${TPW}", "[trips] table: 'a.${TPW}.${TPW}' must be a table's"),
        ("trips table", "${TPW}" * 9, "longer than 50 characters"),
        ("transform columns", "fare_amount, ${TPW}", "'fare_amount, ${TPW}' must be one of"),
        ("transform max_reject_ratio", "${TPWN}", "max_reject_ratio: ${TPWN} must be from 0"),
        ("transform script_runs", "${TPW}", "${TPW} is not a valid choice"),
        ("quality least_rows", "-${TPWN}", "least_rows: -${TPWN} must be 0 or more"),
        ("quality most", '{"stray": ${TPWN}}', 'most: {"stray": ${TPWN}} must be like'),
        ("quality most", '{"${TPW}": 0.5}', "'${TPW}' must be one of"),
        ("runner environment", '{"A": ["${TPW}"]}', '{"A": ["${TPW}"]} must be like'),
        ("runner environment", '{"A": "${TPW}"', "[runner] environment: "),
        ("runner memory", "${TPW}", "memory: ${TPW} must be a size such as 512m"),
        ("runner volumes", '["${TPW}"]', 'volumes: ["${TPW}"] must be source:/target'),
        ("runner pids", "-${TPWN}", "pids: -${TPWN} must be 0 or more"),
        ("cleanup enabled", "${TPW}", "cannot interpret '${TPW}' as boolean"),
    ],
)
def test_a_message_has_no_value_of_the_environment(
    settings: Set, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, told: str
) -> None:
    monkeypatch.setenv("TPW", "open-sesame")
    monkeypatch.setenv("TPWN", "81726354")
    settings(*setting.split(), value)
    for _ in range(2):
        refused = refusal()
        assert told in refused
        assert "sesame" not in refused
        assert "81726354" not in refused


def test_a_script_that_is_not_there_is_named_without_values(
    settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TPW", "open-sesame")
    for script in ("${TPW}/mine.py", "mine.py ${TPW}", "sh -c '${TPW}"):
        settings("transform", "script", script)
        with pytest.raises(TaxiError, match=re.escape(script)) as refused:
            configured()
        assert "sesame" not in str(refused.value)


def test_messages_and_records_name_a_source_by_its_variables(
    settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_TOKEN", "open-sesame")
    settings("source", "url", "https://u:${TAXI_TOKEN}@host/${TAXI_TOKEN}/{{ month }}?a=1")
    [url] = config.source().urls("green", JANUARY)
    assert url == "https://u:open-sesame@host/open-sesame/2024-01?a=1"
    assert redacted(url) == str(Url.parse(url)) == "https://host/${TAXI_TOKEN}/2024-01?a=..."
    monkeypatch.setenv("TAXI_MIRRORS", "https://a/sesame\nhttps://b/sesame")
    settings("source", "url", "${TAXI_MIRRORS}")
    urls = config.source().urls("green", JANUARY)
    assert urls == ["https://a/sesame", "https://b/sesame"]
    assert set(map(redacted, urls)) == {"${TAXI_MIRRORS}"}


def test_a_source_named_in_the_environment_may_have_a_name(
    settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_MIRROR", "https://mirror")
    settings("source", "archive", "${TAXI_MIRROR}/{{ month }}")
    settings("source", "url", "{{ archive }}")
    config.check("green", JANUARY)


def test_a_variable_that_is_no_text_is_named(
    settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_PASSWORD", "\udcff")
    settings("warehouse", "url", "postgresql://taxi:${TAXI_PASSWORD}@db/taxi")
    assert refusal() == "[warehouse] url: the environment's variable TAXI_PASSWORD isn't UTF-8"


@pytest.mark.parametrize("password", [HOSTILE[4], "1?host=secret&user=2", "se@cret"])
def test_no_output_has_a_password(tmp_path: Path, password: str) -> None:
    (tmp_path / "luigi.cfg").write_text(
        "[warehouse]\nurl = postgresql://taxi:${TPW}@127.0.0.1:1/taxi\nretries = 1\n"
        '[runner]\nenvironment = {"TOKEN": "${TPW}"}\n'
    )
    command = [Path(sys.executable).with_name("luigi"), "--module", "luigi_tasks", "TaxiMerge"]
    run = subprocess.run(
        [*command, "--month=2024-01", "--log-level=DEBUG"],
        cwd=tmp_path,
        env={**os.environ, "TPW": password},
        capture_output=True,
        text=True,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 35, output
    assert "can't be reached" in output or "[warehouse] url can't be read" in output
    assert "secret" not in output
    assert "cret@" not in output


def test_a_bare_percent_sign_is_refused_in_one_line(settings: Set) -> None:
    luigi.configuration.get_config().read_string("[source]\nurl = file:///{% x %}")
    assert "%" in refusal()
    assert "source" in refusal()


# templates


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("file:///{{ taxi_type }}", "file:///green"),
        ("file:///{{ month }}", "file:///2024-01"),
        ("file:///{{ month.year }}/{{ month.month }}", "file:///2024/1"),
        ("file:///{{ '%%02d' | format(month.month) }}", "file:///01"),
        ("file:///{{ retries }}", "file:///5"),
        ("file:///{%% if month.year > 2020 %%}new{%% else %%}old{%% endif %%}", "file:///new"),
        ("file:///plain & simple", "file:///plain & simple"),
    ],
)
def test_a_value_is_a_template(settings: Set, template: str, rendered: str) -> None:
    settings("source", "url", template)
    for _ in range(2):
        assert config.source().render("url", taxi_type="green", month=JANUARY) == rendered


def test_a_template_may_use_another_of_its_section(settings: Set) -> None:
    settings("trips", "table", "taxi.{{ taxi_type }}")
    settings("trips", "staging_table", "{{ table }}_in_{{ month }}")
    assert wired.opened("green", JANUARY)[1].staging == ("taxi", "green_in_2024_01")


def test_a_source_may_have_a_name(settings: Set) -> None:
    settings("source", "archive", "file:///old/{{ taxi_type }}_{{ month }}.csv.gz")
    settings("source", "all_of_green", "file:///{{ taxi_type }}.zip")
    settings("source", "url", "file:///new\n{{ archive }}\n{{ all_of_green }}")
    for _ in range(2):
        assert config.source().urls("green", JANUARY) == [
            "file:///new",
            "file:///old/green_2024-01.csv.gz",
            "file:///green.zip",
        ]
        config.check("green", JANUARY)
    with CmdlineParser.global_instance(["TaxiMerge", "--source-url", "{{ archive }}"]):
        assert config.source().urls("green", JANUARY) == ["file:///old/green_2024-01.csv.gz"]


def test_a_mistake_in_a_named_source_is_named(settings: Set) -> None:
    settings("source", "url", "{{ archive }}")
    settings("source", "archive", "file:///{{ year }}")
    assert refusal().startswith("[source] archive: 'year' is not known here")
    settings("source", "archive", "https://${TAXI_NOWHERE}/{{ month }}")
    assert "TAXI_NOWHERE" in refusal()
    settings("source", "archive", "https://{{ url }}")
    assert refusal() == "[source] url: is made of itself, by url -> archive -> url"


def test_a_flag_is_a_template_too() -> None:
    with CmdlineParser.global_instance(["TaxiMerge", "--source-url", "file:///{{ month }}"]):
        url = config.source().render("url", taxi_type="green", month=JANUARY)
    assert url == "file:///2024-01"


@pytest.mark.parametrize(
    ("section", "key", "template", "told"),
    [
        ("source", "url", "file:///{{ year }}", "[source] url: 'year' is not known here"),
        ("storage", "root", "{{ date }}", "[storage] root: 'date' is not known here"),
        ("warehouse", "url", "{{ x }}", "[warehouse] url: 'x' is not known here"),
        ("trips", "table", "{{ month }}", "[trips] table: 'month' is not known here"),
        ("trips", "staging_table", "{{ retries }}", "[trips] staging_table: 'retries' is not kn"),
        ("source", "url", "file:///{{ url }}", "[source] url: 'url' is not known here"),
        ("source", "url", "file:///{{ month.day_name }}", "[source] url: "),
        ("source", "url", "file:///{{ month", "[source] url: "),
        ("source", "url", "file:///{%% if %%}", "[source] url: "),
        ("source", "url", "file:///{{ month | monthly }}", "[source] url: "),
        ("source", "url", "file:///{{ month - 1 }}", "[source] url: "),
    ],
)
def test_a_mistake_in_a_template_is_named(
    settings: Set, section: str, key: str, template: str, told: str
) -> None:
    settings(section, key, template)
    assert refusal().startswith(told)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ month.__init__.__globals__ }}",
        "{{ month.strftime.__self__.__class__ }}",
        "{{ taxi_type | attr('__class__') }}",
        "{{ '{0.__class__}'.format(taxi_type) }}",
        "{{ [].append(1) }}",
        "{%% for i in range(1000000000) %%}x{%% endfor %%}",
        "{%% include 'luigi.cfg' %%}",
        "{{ " + "(" * 5000,
        "{{ 'a'.encode('nothing') }}",
        "{{ lipsum() }}",
    ],
)
def test_a_template_reaches_nothing_but_its_names(settings: Set, template: str) -> None:
    settings("source", "url", f"file:///{template}")
    assert refusal().startswith("[source] url: ")


def test_an_unknown_name_comes_with_the_known_ones(settings: Set) -> None:
    settings("source", "url", "file:///{{ year }}")
    assert refusal().endswith(
        "known are month, retries, taxi_type, time_limit, timeout, zone_shapes_url, zones_url"
    )


def test_values_made_of_each_other_are_refused(settings: Set) -> None:
    settings("trips", "table", "{{ staging_table }}")
    settings("trips", "staging_table", "{{ table }}")
    assert refusal() == "[trips] table: is made of itself, by table -> staging_table -> table"


# tables


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("public.{{ taxi_type }}_{{ month }}", ("public", "green_2024_01")),
        ("{{ taxi_type }}_{{ month }}", ("public", "green_2024_01")),
        ("My Taxis.{{ taxi_type }}: {{ month }}!", ("My_Taxis", "green__2024_01_")),
        ('a"b.{{ taxi_type }}; DROP {{ month }}', ("a_b", "green__DROP_2024_01")),
        ("été.{{ taxi_type }}_{{ month }}", ("_t_", "green_2024_01")),
    ],
)
def test_a_staging_table_is_named_by_an_identifier(
    settings: Set, template: str, name: tuple[str, str]
) -> None:
    settings("trips", "staging_table", template)
    assert wired.opened("green", JANUARY)[1].staging == name


@pytest.mark.parametrize(
    "table",
    [
        "a.b.{{ taxi_type }}",
        "",
        ".{{ taxi_type }}",
        "public.",
        "pg_trips.{{ taxi_type }}",
        "information_schema.{{ taxi_type }}",
        "x" * 64 + ".{{ taxi_type }}",
    ],
)
def test_what_is_no_tables_name_is_refused(settings: Set, table: str) -> None:
    settings("trips", "table", table)
    assert refusal().startswith("[trips] table: ")


def test_a_name_leaves_room_for_its_partitions(settings: Set) -> None:
    settings("trips", "table", "{{ taxi_type }}" + "x" * 44)  # with yellow: 50
    config.check("green", JANUARY)
    settings("trips", "table", "{{ taxi_type }}" + "x" * 45)
    assert refusal() == f"[trips] table: 'yellow{45 * 'x'}' is longer than 50 characters"


@pytest.mark.parametrize("table", ["public.trips_of_all", "Trips"])
def test_one_table_for_two_types_is_refused(settings: Set, table: str) -> None:
    settings("trips", "table", table)
    assert "must differ by taxi type" in refusal()


@pytest.mark.parametrize(
    "table",
    [
        "public.staging",
        "{{ taxi_type }}_staging",
        "staging_{{ month }}",
        "staging_{{ taxi_type }}_{{ month.month }}",
        "{{ table }}",
    ],
)
def test_a_staging_table_belongs_to_one_month_of_one_type(settings: Set, table: str) -> None:
    settings("trips", "staging_table", table)
    assert "must differ by taxi type and month" in refusal()


# wrong values


@pytest.mark.parametrize(
    ("file", "flags", "told"),
    [
        ("[core]\nlog_level = LOUD\n", [], "[core] log_level: LOUD is not a valid choice"),
        ("[retcode]\ntask_failed = all\n", [], "[retcode] task_failed: invalid literal for int"),
        ("", ["--log-level=LOUD"], "[core] log_level: LOUD is not a valid choice"),
        ("[source]\nurl = http://a/\nhttp://b/\n", [], "the line http://... must be indented"),
    ],
)
def test_what_luigi_cannot_read_is_told_in_one_line(
    tmp_path: Path, file: str, flags: list[str], told: str
) -> None:
    (tmp_path / "luigi.cfg").write_text(file)
    command = [Path(sys.executable).with_name("luigi"), "--module", "luigi_tasks", "TaxiMerge"]
    run = subprocess.run(
        [*command, "--month=2024-01", *flags], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 40, run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert told in run.stderr


@pytest.mark.parametrize(("key", "value"), [("logging_conf_file", "logging.cfg")])
def test_a_text_that_no_class_of_luigis_reads_is_left_to_it(
    settings: Set, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setattr(config.defaults, "unreadable", [])
    settings("core", key, value)
    config.defaults.set_unreadable_aside()
    config.check()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("core", "workers", "two"),
        ("core", "no_configure_logging", "perhaps"),
        ("core", "lock_size", "${TAXI_NOWHERE}"),
        ("worker", "wait_interval", "soon"),
        ("worker", "keep_alive", "1"),
        ("scheduler", "retry_delay", "soon"),
        ("retcode", "not_run", ""),
        ("resources", "copy", "one"),
        ("execution_summary", "summary_length", "long"),
    ],
)
def test_what_luigi_cannot_read_in_its_own_sections_is_refused(
    settings: Set, monkeypatch: pytest.MonkeyPatch, section: str, key: str, value: str
) -> None:
    monkeypatch.setattr(config.defaults, "unreadable", [])
    settings(section, key, value)
    config.defaults.set_unreadable_aside()
    assert refusal().startswith(f"[{section}] {key}: ")
    luigi.interface.core()
    luigi.worker.worker()
    luigi.retcodes.retcode()


def test_a_file_of_settings_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Luigi goes on without it, into another warehouse perhaps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUIGI_CONFIG_PATH", "mine.cfg")
    assert refusal() == "LUIGI_CONFIG_PATH: mine.cfg can't be read: No such file or directory"
    (tmp_path / "mine.cfg").touch()
    config.check("green", JANUARY)
    (tmp_path / "luigi.cfg").mkdir()
    assert refusal() == "luigi.cfg can't be read: Is a directory"


TOML = """
[source]
url = "file:///{{ taxi_type }}"
retries = 2
[quality.most]
stray = 0.5
[cleanup]
enabled = false
"""


def test_the_settings_may_be_in_toml(tmp_path: Path) -> None:
    if not LuigiTomlParser.enabled:
        skip("Luigi reads TOML by the package toml, which isn't installed")
    code = (
        "import luigi, luigi_tasks.tasks; from luigi_tasks import config; config.check()\n"
        "print(config.source().url, config.source().retries, dict(config.quality().most), "
        "config.cleanup().enabled, luigi.configuration.get_config().getintdict('resources'))"
    )
    environment = {**os.environ, "LUIGI_CONFIG_PARSER": "toml"}

    def run() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    (tmp_path / "luigi.toml").write_text(TOML)
    seen = run()
    assert (
        seen.stdout == "file:///{{ taxi_type }} 2 {'stray': 0.5} False {'merge': 1, 'copy': 64}\n"
    ), seen
    (tmp_path / "luigi.toml").write_text("[source]\nrtries = 2\n")
    assert "[source] rtries: is no setting; did you mean retries?" in run().stderr


def test_the_defaults_are_not_refused() -> None:
    for taxi_type in ("green", "yellow"):
        config.check(taxi_type, JANUARY)


@pytest.mark.parametrize(
    ("section", "key", "value", "allowed"),
    [
        ("source", "url", "nope://host/{{ month }}", "scheme is nope; write an http://, https"),
        ("source", "url", "/published/{{ month }}.parquet", "scheme is missing; write an http"),
        ("source", "url", "", "scheme is missing"),
        ("source", "timeout", "a minute", "[source]"),
        ("source", "timeout", "0", "above 0"),
        ("source", "timeout", "-1", "above 0"),
        ("source", "timeout", "nan", "above 0"),
        ("source", "retries", "-1", "0 or more"),
        ("source", "retries", "2.5", "[source]"),
        ("warehouse", "url", "mysql://host/taxi", "'embedded' or begin with postgresql://"),
        ("warehouse", "url", "Embedded", "'embedded' or begin with postgresql://"),
        ("warehouse", "url", "", "'embedded' or begin with postgresql://"),
        ("source", "url", "file:///a\nnope://host/{{ month }}", "scheme is nope"),
        (
            "source",
            "zones_url",
            "zones.csv",
            "[source] zones_url: zones.csv: the scheme is missing",
        ),
        ("quality", "when_exceeded", "stop", "warn"),
        ("quality", "least_rows", "-1", "0 or more"),
        ("quality", "least_rows", "half", "least_rows"),
        ("quality", "most", "[1]", 'like {"negative_total": 0.05}'),
        ("quality", "most", '{"stray": "1"}', 'like {"negative_total": 0.05}'),
        ("quality", "most", '{"stray": 10}', "shares from 0 to 1"),
        ("quality", "most", '{"strays": 0.1}', "'strays' must be one of stray, null_pass"),
        ("transform", "max_reject_ratio", "1.5", "from 0 to 1"),
        ("transform", "max_reject_ratio", "-0.1", "from 0 to 1"),
        ("transform", "max_reject_ratio", "nan", "from 0 to 1"),
        ("transform", "max_reject_ratio", "1 %%", "[transform]"),
        ("transform", "script_runs", "before", "instead"),
        ("runner", "kind", "cloud", "process"),
        ("runner", "environment", "[1]", 'like {"NAME": "value"}'),
        ("runner", "environment", '{"A": 1}', 'like {"NAME": "value"}'),
        ("runner", "environment", '{"with.dot": "1"}', 'like {"NAME": "value"}'),
        ("runner", "environment", "{A: 1}", "environment"),
        ("runner", "time_limit", "-1", "0 or more"),
        ("runner", "stop_grace", "nan", "0 or more"),
        ("runner", "cpus", "-0.5", "0 or more"),
        ("runner", "pids", "-1", "0 or more"),
        ("runner", "pids", "1.5", "pids"),
        ("runner", "memory", "2 GB", "a size such as 512m"),
        ("runner", "tmpfs", "0m", "a size such as 512m"),
        ("runner", "cap_drop", "[1]", 'like ["ALL"]'),
        ("runner", "volumes", '["/here"]', "source:/target[:ro]"),
        ("runner", "volumes", '["/here:there"]', "source:/target[:ro]"),
        ("runner", "read_only", "perhaps", "read_only"),
        ("runner", "pull", "sometimes", "if_not_present"),
        ("runner", "files", "send", "mount"),
        ("runner", "build", "Dockerfile", "needs image"),
        ("cleanup", "enabled", "perhaps", "[cleanup]"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(
    settings: Set, section: str, key: str, value: str, allowed: str
) -> None:
    settings(section, key, value)
    for _ in range(2):
        told = refusal()
        assert told.startswith(f"[{section}]")
        assert allowed in told


@pytest.mark.parametrize(
    ("section", "key", "told"),
    [
        ("source", "timout", "[source] timout: is no setting; did you mean timeout?"),
        (
            "source",
            "archive",
            "[source] archive: is no setting; there are url, zones_url, zone_shapes_url, ",
        ),
        ("runner", "memroy", "[runner] memroy: is no setting; did you mean memory?"),
        ("cleanup", "x", "[cleanup] x: is no setting; there are enabled"),
    ],
)
def test_a_key_that_is_no_setting_is_refused(
    settings: Set, section: str, key: str, told: str
) -> None:
    settings(section, key, "60")
    for _ in range(2):
        assert refusal().startswith(told)


def test_a_section_with_nearly_the_right_name_is_refused(settings: Set) -> None:
    settings("hadoop", "url", "somebody else's")
    config.check("green", JANUARY)
    settings("warehous", "url", "postgresql://x/y")
    assert refusal() == "[warehous]: is no section; did you mean [warehouse]?"


@pytest.mark.parametrize("key", ["timeout", "retries", "max_reject_ratio", "enabled"])
def test_a_value_of_the_wrong_kind_names_its_key(settings: Set, key: str) -> None:
    section = next(name for name, kind in SECTIONS.items() if key in dict(kind.get_params()))
    settings(section, key, "nonsense")
    assert key in refusal()
    assert "nonsense" in refusal()


@pytest.mark.parametrize(
    "scheduler",
    [
        {"local_scheduler": "true", "scheduler_url": "http://192.0.2.1:8082"},
        {"scheduler_url": "http://127.0.0.1:8082"},
        {"scheduler_url": "http://[::1]:8082"},
        {"scheduler_url": "http+unix://%%2Frun%%2Fluigid"},
        {"scheduler_url": f"http://{socket.gethostname()}:8082"},
        {"scheduler_host": "localhost"},
        {"scheduler_host": "192.0.2.1", "local_scheduler": "true"},
    ],
)
def test_an_embedded_warehouse_may_be_used_beside_a_luigid_of_its_machine(
    settings: Set, scheduler: dict[str, str]
) -> None:
    for key, value in {"local_scheduler": "false", **scheduler}.items():
        settings("core", key, value)
    config.check()


@pytest.mark.parametrize(
    "scheduler",
    [
        {"scheduler_url": "http://192.0.2.1:8082"},
        {"scheduler_url": "http://user:hush@192.0.2.1:8082/luigi"},
        {"scheduler_host": "192.0.2.1"},
    ],
)
def test_an_embedded_warehouse_is_refused_beside_a_luigid_of_another_host(
    settings: Set, scheduler: dict[str, str]
) -> None:
    """Each host would have a warehouse of its own, and luigid would share months among these."""
    for key, value in {"local_scheduler": "false", **scheduler}.items():
        settings("core", key, value)
    assert "'embedded' is this machine's own, and luigid on 192.0.2.1 shares months" in refusal()
    assert "hush" not in refusal()
    settings("warehouse", "url", "postgresql://taxi@192.0.2.1/taxi")
    config.check()


@pytest.mark.parametrize("url", ["postgres://host/taxi", "postgresql:///taxi", "embedded"])
def test_a_right_warehouse_is_not_refused(settings: Set, url: str) -> None:
    settings("warehouse", "url", url)
    config.check("green", JANUARY)


@pytest.mark.parametrize("root", ["data/{{ taxi_type }}", "data/{{ month }}"])
def test_a_root_that_passes_serves_every_task(settings: Set, root: str) -> None:
    settings("storage", "root", root)
    try:
        config.check("green", JANUARY)
    except TaxiError:
        return
    storage.left_over(config.storage_root())


@pytest.mark.parametrize(
    "month",
    [
        "2023-04",
        date(2023, 4, 1),
        date(2023, 4, 30),
        datetime(2023, 4, 15, 12, 30),
        luigi.date_interval.Month(2023, 4),
    ],
)
def test_python_may_give_a_month_as_it_has_it(month: Any) -> None:
    assert config.MonthParameter().normalize(month) == date(2023, 4, 1)
    assert TaxiMerge(month=month) is TaxiMerge(date(2023, 4, 1), "yellow")


@pytest.mark.parametrize("month", [None, "", "2023-04-01", "April", 202304, 4.5, [2023, 4]])
def test_what_is_no_month_is_refused_from_python_too(month: Any) -> None:
    with pytest.raises(TaxiError, match=r"^month .*: must be a year and a month .*, such as 2024"):
        TaxiMerge(month=month)


@pytest.mark.parametrize("taxi_type", [None, "", "blue", 1, ["green"]])
def test_what_is_no_taxi_type_is_refused_from_python_too(taxi_type: Any) -> None:
    with pytest.raises(TaxiError, match=r"^taxi type .*: must be one of yellow, green, fhv, fhvhv"):
        TaxiMerge(month="2023-04", taxi_type=taxi_type)


@pytest.mark.parametrize("text", ["2024-13", "2024", "Jan 2024", ""])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(TaxiError, match=r"must be a year and a month .* such as 2024-01"):
        config.MonthParameter().parse(text)


def test_an_unknown_taxi_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaxiError, match="taxi type 'blue': must be one of yellow, green"):
        config.TaxiTypeParameter().normalize("blue")
