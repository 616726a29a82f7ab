"""What a server of sessions lets its clients ask for: what a page may ask for, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_widget.errors import (
    ClusterError,
    DatasetError,
    ModelError,
    WidgetError,
    WrongType,
    WrongValue,
    shown,
)
from neuron_widget.names import path_as_typed
from neuron_widget.protocol.check import check_message
from neuron_widget.remote.wire import OWN, Wish, plain
from neuron_widget.session import Settings
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.dictionaries import read_wish
from neuron_widget.settings import RENDER
from neuron_widget.version import __version__

__all__ = ["Rules"]

_NAMED = ("samples",)
"""Photos that need neither a path nor a download."""


@dataclass(frozen=True)
class Rules:
    """What a server has, and its limits for each client.

    Attributes
    ----------
    confined
        Whether there is no other network, layer's photos or file than what is named here: as
        ``serve`` has it. Otherwise paths and names are as free as in a widget without a server.
    model, weights, layer, dataset
        As of a widget; what is shown where a client names nothing.
    folders
        Folders of photos that clients may scan besides.
    store
        Where results are, for all.
    device
        Of the network.
    steps, size
        The most that a client may ask for; None for as much as a page may.
    views
        Widgets of one client that may be at work at a time; all together ``sessions``.
    """

    confined: bool = False
    model: str | None = None
    weights: str | None = None
    layer: str | None = None
    dataset: str = "samples"
    folders: tuple[str, ...] = ()
    store: Any = None
    device: str | None = None
    steps: int | None = None
    size: int | None = None
    views: int | None = None
    sessions: int = 256

    # -------------------------------------------------------------- a new session

    def settings(self, wish: Wish, store: Any) -> Settings:
        """What a client wishes, checked as a widget's arguments are; results go into ``store``.

        Raises
        ------
        ClusterError, UnknownLayer, NeuronOutOfRange, ModelError, DatasetError, TypeError,
        ValueError
        """
        if wish.get("version") != __version__:
            raise ClusterError(
                f"neuron-widget is {__version__} on the server and {shown(wish.get('version'))} "
                "here; expected the same on both"
            )
        options = dict(plain(wish.get("options", {})))
        for name in OWN:
            if options.get(name) is not None:
                raise WrongValue(f"{name} is a file of the server's: it cannot be asked for")
        if not isinstance(options.get("objective", ""), str):
            raise WrongType("an objective goes by its name")
        for name, most in self._limits().items():
            self._check_limit(name, options.get(name))
            if most is not None and options.get(name) is None:
                options[name] = min(most, RENDER[name].default or RENDER[name].usual)
        layer = wish.get("layer")
        return check_arguments(
            layer=self.layer if layer is None else _text("layer", layer),
            model=self._model(wish.get("model")),
            weights=self.weights,
            dataset=self.photos(wish.get("dataset")),
            neuron=wish.get("neuron", 0),
            device=self.device,
            store=store,
            **options,
        )

    def _model(self, name: Any) -> str | None:
        if name is None or name == self.model:
            return self.model
        if self.confined:
            raise ModelError(
                f"this server shows {self.model or 'its own network'}, not {shown(name)}; leave "
                "out model="
            )
        return _text("model", name)

    def photos(self, given: Any) -> str:
        """The photos that a client names, if it may look into them."""
        if given is None or given == self.dataset:
            return self.dataset
        name = _text("dataset", given)
        if not self.confined or name in _NAMED:
            return name
        try:
            wanted = Path(path_as_typed(name)).expanduser().resolve()
            allowed = [Path(folder).expanduser().resolve() for folder in self.folders]
        except (OSError, ValueError, RuntimeError):
            wanted, allowed = Path(), []
        # Not a pattern, which may mean files that lie elsewhere.
        if any(wanted.is_relative_to(folder) for folder in allowed) and wanted.exists():
            return str(wanted)
        ways = [*dict.fromkeys((self.dataset, *_NAMED, *self.folders))]
        raise DatasetError(
            f"this server does not look into {shown(name)}; expected {' or '.join(map(repr, ways))}"
        )

    # -------------------------------------------------------------- a message

    def check(self, content: object) -> dict[str, Any]:
        """A message of a client's page, if it may say it.

        Raises
        ------
        ValueError, TypeError, NeuronWidgetError
        """
        message = check_message(content)
        for name in self._limits():
            self._check_limit(name, message.get(name))
            if message["kind"] == "configure":
                self._check_limit(name, message["settings"].get(name))
        if message["kind"] == "scan" and message["dataset"]:
            message["dataset"] = self.photos(message["dataset"])
        if self.confined:
            self._check_confined(message)
        return message

    def _check_confined(self, message: Mapping[str, Any]) -> None:
        kind = message["kind"]
        if kind == "scan" and message["download"]:
            raise DatasetError("this server downloads nothing for its clients")
        if kind == "open_embedded":
            raise ModelError(f"this server shows {self.model or 'its own network'} and no other")
        if kind == "dictionary" and isinstance(read_wish(message["wish"]), str):
            raise WidgetError(
                "this server opens no files for its clients; learn a dictionary: 'nmf 64'"
            )

    def check_steps(self, steps: Any) -> None:
        """WrongValue for more than a client may ask for."""
        self._check_limit("steps", steps)

    def _limits(self) -> dict[str, int | None]:
        return {"steps": self.steps, "size": self.size}

    def _check_limit(self, name: str, value: Any) -> None:
        most = self._limits()[name]
        if most is not None and value is not None and RENDER[name].check(value) > most:
            raise WrongValue(f"{name} {value} is more than this server gives; at most {most}")


def _text(name: str, value: Any, most: int = 4096) -> str:
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise WrongType(f"{name} must be a text, got {shown(value)}")
    return value
