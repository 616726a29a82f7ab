"""Options of the command line, made from the list of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Optional, TypeVar

import typer

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.setting import Setting
from neuron_widget.settings import RENDER, SCAN

__all__ = ["apart", "given", "number", "whole", "with_settings"]

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(*lists: Mapping[str, Setting], but: Iterable[str] = ()) -> Callable[[F], F]:
    """Give a command an option for each setting, in place of its ``**settings``.

    Of two settings of one name the first counts. What is chosen by name is checked when the command
    runs, so that its error names the nearest right one.
    """
    left_out = set(but)
    settings = {name: s for some in reversed(lists) for name, s in some.items()}

    def decorate(command: F) -> F:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=setting.default,
                annotation=_option(setting),
            )
            for name, setting in settings.items()
            if name not in left_out
        ]
        plain = [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in own]
        command.__signature__ = signature.replace(parameters=[*plain, *made])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in [*plain, *made]}
        return command

    return decorate


def _option(setting: Setting) -> Any:
    dashed = setting.name.replace("_", "-")
    flag = f"--{dashed}/--no-{dashed}" if setting.type is bool else f"--{dashed}"
    names = ", ".join(choice.name for choice in setting.choices)
    numbers = number(setting) if setting.type in (int, float) else {}
    kind: Any = setting.type
    if setting.optional:
        kind = Optional[kind]  # noqa: UP045  (typer reads the annotation at run time)
    text = f"{setting.help} One of {names}." if names else setting.help
    return Annotated[kind, typer.Option(flag, help=text, **numbers)]


def number(setting: Setting) -> dict[str, Any]:
    """What lets an option's number be checked, and told if it is wrong, as everywhere else."""

    def read(text: Any) -> Any:
        try:
            value = setting.type(text)
        except ValueError:
            value = text  # the check says what was expected
        try:
            return setting.check(value)
        except NeuronWidgetError as error:
            raise typer.BadParameter(str(error)) from error

    low, high = (f"{end:g}" if end is not None else "" for end in (setting.low, setting.high))
    if setting.type is int:
        low, high = (str(end) if end is not None else "" for end in (setting.low, setting.high))
    return {"parser": read, "metavar": f"<{setting.type.__name__} {low}..{high}>"}


def whole(
    name: str, low: int, high: int | None = None, *, optional: bool = False
) -> dict[str, Any]:
    """As :func:`number`, of an option that is no setting."""
    return number(Setting(None, "", low, high, optional=optional, name=name, type=int))


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that are left to the network or the processor."""
    return {name: value for name, value in settings.items() if value is not None}


def apart(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the pictures, and of the scan: one that is kept for others is an exact one."""
    images = {name: value for name, value in settings.items() if name in RENDER}
    photos = {name: settings[name] for name in SCAN if name != "precision"}
    return given(images), photos
