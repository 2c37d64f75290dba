"""Putting a node's configuration together: defaults, then the file, variables, flags.

Every mistake in every source is named in one error, also where a later source overrides it.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import platformdirs

from trionode.config import sources
from trionode.config.checks import InvalidValue, name_from_host, shown
from trionode.config.converting import UNFIT, text_converter, toml_converter
from trionode.config.sections import SECTIONS, Config, fields_of
from trionode.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trionode.config.sources import Problem, Setting

STATE_VARIABLE = "STATE_DIRECTORY"
"""Set by systemd for a unit with `StateDirectory=` (systemd.exec(5)); several are joined by ':'."""

_FROM_TOML = toml_converter()
_FROM_TEXT = text_converter()


def load(
    path: str | os.PathLike[str] | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> Config:
    """The configuration that a file, variables and flags make, later ones over earlier ones.

    An empty name becomes the machine's, an empty data directory `$STATE_DIRECTORY`, or else
    `trionode/NAME` in the user's state directory.

    Args:
        path: a TOML file, or None.
        environ: the process's variables; those called `TRIONODE_CONF_<SECTION>__<KEY>` count, and
            `STATE_DIRECTORY`.
        flags: the keys of `trionode.config.sources.FLAGS` -> text, a list of texts, or True.

    Raises:
        ConfigurationError: with every mistake: where it is, the key, what was found there and what
            is allowed.
    """
    builder = _Builder()
    if path is not None:
        builder.take(sources.from_file(path))
    builder.take(sources.from_variables(environ))
    builder.take(sources.from_flags(flags))
    return _with_places(builder.build(), environ)


class _Builder:
    """Collects settings, and what is wrong with them, before it makes the configuration."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self._origins: dict[str, str] = {}
        self._problems: list[str] = []

    def take(self, found: Iterable[Setting | Problem]) -> None:
        """Take what one source says; it overrides what was taken before."""
        for item in found:
            if isinstance(item, sources.Problem):
                self._problems.append(f"{item.origin}: {item.text}")
            else:
                self._set(item)

    def build(self) -> Config:
        """The configuration; raises with all that was wrong."""
        if self._problems:
            raise ConfigurationError("; ".join(self._problems))
        made: dict[str, Any] = {}
        for section, kind in SECTIONS.items():
            try:
                made[section] = kind(**self._values[section])
            except InvalidValue as error:
                raise self._cross_check(section, error) from error
        try:
            return Config(**made, origins=self._origins)
        except InvalidValue as error:
            raise self._cross_check("http2", error) from error

    def _set(self, setting: Setting) -> None:
        field = fields_of(setting.section)[setting.key]
        name = f"{setting.section}.{setting.key}"
        convert = _FROM_TEXT if setting.is_text else _FROM_TOML
        kind: Any = field.type
        check: Any = field.validator
        try:
            value = convert.structure(setting.value, kind)
            check(None, field, value)
        except InvalidValue as error:
            self._refuse(setting.origin, name, error.found, error.allowed)
            return
        except UNFIT:
            self._refuse(setting.origin, name, setting.value, check.allowed)
            return
        self._values[setting.section][setting.key] = value
        self._origins[name] = setting.origin

    def _refuse(self, origin: str, name: str, found: object, allowed: str) -> None:
        self._problems.append(f"{origin}: {name} is {shown(found)}, allowed is {allowed}")

    def _cross_check(self, section: str, error: InvalidValue) -> ConfigurationError:
        """Two values that are right alone and wrong together."""
        origin = self._origins.get(f"{section}.{error.key}", "default")
        return ConfigurationError(f"{origin}: {section}.{error}")


def _with_places(config: Config, environ: Mapping[str, str]) -> Config:
    """Fill in what depends on the machine: the name and the data directory."""
    node, origins = config.node, dict(config.origins)
    if not node.name:
        node = attrs.evolve(node, name=name_from_host(socket.gethostname()))
        origins["node.name"] = "this machine's name"
    if not node.data_dir:
        given = environ.get(STATE_VARIABLE, "").split(os.pathsep)[0]
        state = Path(platformdirs.user_state_dir("trionode", appauthor=False)) / node.name
        try:
            node = attrs.evolve(node, data_dir=given or str(state))
        except InvalidValue as error:
            origin = f"variable {STATE_VARIABLE}" if given else "default"
            raise ConfigurationError(f"{origin}: node.{error}") from error
        origins["node.data_dir"] = (
            f"variable {STATE_VARIABLE}" if given else "the user's state directory"
        )
    return attrs.evolve(config, node=node, origins=origins)
