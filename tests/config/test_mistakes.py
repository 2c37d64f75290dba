"""What is said of a configuration that cannot be used: where, the key, what is and what may be."""

from __future__ import annotations

import pytest

from trionode.config import load
from trionode.config.sections import SECTIONS, fields_of
from trionode.errors import ConfigurationError


@pytest.fixture
def complaint(tmp_path):
    """Load a file of configuration and variables; gives what is said of them, without the path."""

    def read(text="", environ=(), **flags):
        path = tmp_path / "node.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigurationError) as caught:
            load(path, dict(environ), {f"--{flag}": value for flag, value in flags.items()})
        return str(caught.value).replace(str(path), "FILE")

    return read


def test_a_wrong_value_is_named_with_its_file_its_key_and_what_is_allowed(complaint):
    assert complaint("[routing]\nmax_hops = 0") == (
        "FILE: routing.max_hops is 0, allowed is a whole number from 1 to 64"
    )


def test_a_wrong_value_of_a_variable_names_the_variable(complaint):
    assert complaint(environ={"TRIONODE_CONF_LOGGING__LEVEL": "loud"}) == (
        "variable TRIONODE_CONF_LOGGING__LEVEL: logging.level is 'loud', "
        'allowed is "debug" or "info" or "warning" or "error"'
    )


def test_a_wrong_value_of_a_flag_names_the_flag(complaint):
    assert complaint(name="a b") == (
        "flag --name: node.name is 'a b', allowed is 1 to 100 of the letters a-z and A-Z, "
        "digits, '_', '.' and '-'"
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('max_hops = "8"', "'8'"),
        ("max_hops = 8.0", "8.0"),
        ("max_hops = true", "true"),
        ("max_hops = [8]", "[8]"),
        ("max_hops = 65", "65"),
        ("transfer_after_s = nan", "nan"),
        ("transfer_after_s = inf", "inf"),
        ("transfer_after_s = -0.5", "-0.5"),
        ("transfer_after_s = false", "false"),
        (f"transfer_after_s = 1{'0' * 400}", "1000"),
        ('transfer_after_s = "1"', "'1'"),
        ("allow_volatile = 1", "1"),
        ('allow_volatile = "true"', "'true'"),
        ("retry_base_s = 1979-05-27", "datetime.date"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_shown_and_not_guessed(
    complaint, line, found
):
    key = line.split(" = ")[0]
    assert complaint(f"[routing]\n{line}").startswith(f"FILE: routing.{key} is {found}")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ROUTING__MAX_HOPS", "many"),
        ("ROUTING__MAX_HOPS", ""),
        ("ROUTING__MAX_HOPS", "9" * 5000),
        ("ROUTING__TRANSFER_AFTER_S", "soon"),
        ("ROUTING__TRANSFER_AFTER_S", "nan"),
        ("PEERS__DISCOVERY", "perhaps"),
        ("NODE__LISTEN", ""),
        ("NODE__LISTEN", "127.0.0.1:1,nowhere"),
    ],
)
def test_text_that_is_no_such_value_is_refused(complaint, variable, text):
    said = complaint(environ={f"TRIONODE_CONF_{variable}": text})
    assert said.startswith(f"variable TRIONODE_CONF_{variable}: ")
    assert ", allowed is " in said


def test_a_value_that_is_very_long_is_shown_in_part(complaint):
    assert len(complaint(f'[node]\nname = "{"x" * 10_000}"')) < 400


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "ü", "a\\u0000", "a\\n", "x" * 101, "a\\u202e", "a:1"]
)
def test_a_node_name_with_odd_characters_is_refused(complaint, name):
    assert complaint(f'[node]\nname = "{name}"').startswith("FILE: node.name is ")


@pytest.mark.parametrize(
    "address",
    ["nowhere", "127.0.0.1", "a:65536", ":7400", "a:-1", "::1:7400", " a:1", "http://a:1"],
)
def test_an_address_that_is_none_is_named_alone(complaint, address):
    said = complaint(f'[node]\nlisten = ["127.0.0.1:7400", "{address}"]')
    assert said.startswith(f"FILE: node.listen is {address!r}, allowed is a list of one or more")


def test_a_node_listens_somewhere(complaint):
    assert complaint("[node]\nlisten = []").startswith("FILE: node.listen is [], allowed is a list")


@pytest.mark.parametrize("key", ["[peers]\naddresses = ['a:0']", "[node]\nadvertise = 'a:0'"])
def test_port_0_is_for_listening_only(complaint, key):
    assert "a port from 1 to 65535" in complaint(key)


def test_an_unknown_key_brings_the_nearest_and_all_that_are_allowed(complaint):
    assert complaint("[types]\nstrikt = true") == (
        "FILE: unknown key types.strikt, did you mean strict? (allowed: strict)"
    )


def test_an_unknown_section_brings_the_nearest_and_all_that_are_allowed(complaint):
    assert complaint("[route]\n").startswith(
        "FILE: unknown section [route], did you mean routing? (allowed: node, peers, "
    )


def test_a_key_outside_its_section_is_told_where_it_belongs(complaint):
    assert complaint("max_hops = 3") == (
        "FILE: max_hops stands outside a section, it belongs in [routing]"
    )


def test_a_value_where_a_section_belongs_is_refused(complaint):
    assert complaint("node = 3") == "FILE: node is 3, allowed is a table, [node]"


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("TRIONODE_CONF_NODE_NAME", "TRIONODE_CONF_NODE__NAME"),
        ("TRIONODE_CONF_NODE__NAMES", "TRIONODE_CONF_NODE__NAME"),
        ("TRIONODE_CONF_ROUTE__MAX_HOPS", "TRIONODE_CONF_ROUTING__MAX_HOPS"),
        ("TRIONODE_CONF_node__name", "TRIONODE_CONF_NODE__NAME"),
    ],
)
def test_an_unknown_variable_brings_the_nearest(complaint, variable, nearest):
    assert complaint(environ={variable: "x"}) == (
        f"variable {variable}: unknown variable, the nearest allowed is {nearest}"
    )


def test_all_mistakes_of_all_sources_are_told_at_once(complaint):
    said = complaint(
        "[node]\nname = 1\nnom = 2\n[rooting]\n",
        {"TRIONODE_CONF_ROUTING__MAX_HOPS": "x"},
        listen="nowhere",
    )
    assert [part.split(": ")[0] for part in said.split("; ")] == [
        "FILE",
        "FILE",
        "FILE",
        "variable TRIONODE_CONF_ROUTING__MAX_HOPS",
        "flag --listen",
    ]


def test_a_wrong_value_is_told_also_where_a_flag_overrides_it(complaint):
    assert complaint("[node]\nname = 1", name="n1").startswith("FILE: node.name is 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[peers]\nbackoff_max_s = 0.05",
            "FILE: peers.backoff_max_s is 0.05, allowed is at least backoff_min_s, 0.1",
        ),
        (
            "[peers]\nbackoff_min_s = 20",
            "default: peers.backoff_max_s is 10.0, allowed is at least backoff_min_s, 20.0",
        ),
        (
            "[routing]\noverflow_cap_s = 0.01",
            "FILE: routing.overflow_cap_s is 0.01, allowed is at least overflow_after_s, 0.1",
        ),
        (
            "[routing]\nretry_cap_s = 0",
            "FILE: routing.retry_cap_s is 0.0, allowed is at least retry_base_s, 0.1",
        ),
        (
            "[limits]\nmemory_bytes = 4_194_304",
            (
                "default: limits.max_object_bytes is 4194304, "
                "allowed is at most memory_bytes times push_high_water, 3565158"
            ),
        ),
        (
            "[http2]\nconnection_window_bytes = 65_535",
            (
                "FILE: http2.connection_window_bytes is 65535, "
                "allowed is at least stream_window_bytes, 1048576"
            ),
        ),
        (
            "[limits]\nmax_object_bytes = 67_108_864",
            (
                "default: http2.max_unsent_bytes is 67108864, "
                "allowed is at least limits.max_object_bytes and a message's frame, 69206016"
            ),
        ),
    ],
)
def test_values_that_are_wrong_together_are_told_with_each_other(complaint, text, said):
    assert complaint(text) == said


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", {}, {})


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, {}, {})


@pytest.mark.parametrize(
    "text",
    ["[node", "name: n1", b"\xff\xfe", "a = 1\na = 2", "a = " + "[" * 5000, "a = " + "9" * 5000],
)
def test_a_file_that_is_not_toml_is_named_with_the_reason(complaint, text):
    assert complaint(text).startswith("FILE: not TOML: ")


def test_where_toml_breaks_is_told_by_line(complaint):
    assert "line 2" in complaint("[node]\nname = n1")


def test_a_file_that_is_far_too_long_is_not_read_to_its_end():
    with pytest.raises(ConfigurationError, match="/dev/zero: not a configuration"):
        load("/dev/zero", {}, {})


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_refuses_a_value_of_a_foreign_type(complaint, section):
    for key in fields_of(section):
        assert complaint(f"[{section}]\n{key} = {{ a = 1 }}").startswith(
            f"FILE: {section}.{key} is {{'a': 1}}, allowed is "
        )
