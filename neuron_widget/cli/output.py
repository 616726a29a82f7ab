"""What the commands share: progress, results as text or JSON, errors and their exit codes."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperGroup

from neuron_widget.errors import (
    DatasetError,
    ModelError,
    NeuronOutOfRange,
    NeuronWidgetError,
    PageTooLarge,
    StoreError,
    TargetError,
    UnknownLayer,
    WrongType,
    WrongValue,
    nearest,
)
from neuron_widget.names import (
    EMBEDDED,
    INCEPTION,
    INCEPTION_MODULES,
    OUTPUT,
    resolve_layer,
)
from neuron_widget.networks.known import cached_inception
from neuron_widget.openmp import short_look_out

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = [
    "EXIT_CODES",
    "Bars",
    "Commands",
    "CtrlC",
    "Stopped",
    "add_dictionaries",
    "model_with",
    "neuron_list",
    "open_model",
    "reporting",
    "show",
    "table",
    "with_address",
]

EXIT_CODES = """
**Exit codes**: 0 done; 1 the work failed; 2 a wrong argument (layer, neuron, option); 3 the network
or its weights cannot be opened; 4 the data set cannot be read; 5 the store or a file cannot be
written or is damaged; 130 stopped with Ctrl-C (what is there is kept).
"""

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UnknownLayer, 2),
    (NeuronOutOfRange, 2),
    (TargetError, 2),
    (ModelError, 3),
    (DatasetError, 4),
    (StoreError, 5),
    (PageTooLarge, 2),
    (WrongType, 2),
    (WrongValue, 2),
    (NeuronWidgetError, 1),
    (TypeError, 2),
    (ValueError, 2),
    (OSError, 1),
)

T = TypeVar("T")

# Newer versions of typer have click inside, older ones beside them: both call it so.
_UsageError: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


class Stopped(Exception):
    """Ctrl-C; ``kept`` says what is there."""

    def __init__(self, kept: str):
        super().__init__(kept)
        self.kept = kept


class Commands(TyperGroup):
    """The commands; with ``--json`` an option that typer refuses is told as JSON too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Understand ``--ray`` without an address."""
        return super().parse_args(ctx, with_address(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            if not as_json:
                raise
            command = (error.ctx or ctx).command_path
            told = f"{error.format_message()} ({command} --help says more)"
            _fail(type(error).__name__, told, 2, as_json)


def with_address(args: Sequence[str]) -> list[str]:
    """The same arguments; ``--ray`` that no address follows means ``--ray auto``."""
    found: list[str] = []
    for arg, following in zip_longest(args, args[1:], fillvalue=""):
        alone = arg == "--ray" and not re.fullmatch(r"auto|local|ray://.*|.*:\d+", following)
        found.append("--ray=auto" if alone else arg)
    return found


@contextlib.contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Turn errors into a line (or JSON) and an exit code; those nobody foresaw keep their trace."""
    try:
        with short_look_out():  # torch is imported inside
            yield
    except (typer.Exit, BrokenPipeError):
        raise  # of a reader that has gone (| head) typer says nothing
    except Stopped as stop:
        _fail("Stopped", stop.kept, 130, as_json)
    except KeyboardInterrupt:
        _fail("Stopped", "at once", 130, as_json)
    except tuple(kind for kind, _ in _CODES) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        _fail(type(error).__name__, str(error), code, as_json)
    except Exception as error:
        if not as_json:
            raise
        _fail(type(error).__name__, str(error), 1, as_json)


def _fail(kind: str, text: str, code: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": {"type": kind, "message": text, "exit_code": code}}), flush=True)
    else:
        from rich.console import Console
        from rich.text import Text

        # Text, not markup: a message may quote file names with brackets.
        Console(stderr=True, soft_wrap=True).print(Text(f"{kind}: {text}"))
    raise typer.Exit(code)


def show(found: Mapping[str, Any], as_json: bool, lines: Sequence[str] = ()) -> None:
    """Print the result: one JSON object, or lines for people."""
    if as_json:
        print(json.dumps(found))
    else:
        for line in lines:
            print(line)
    # A reader that has gone is met here, where typer is silent about it, not at Python's end.
    sys.stdout.flush()


def open_model(name: str, weights: str | None, device: str | None) -> VisionModel:
    """The network. What its package prints while it fetches weights is no answer of ours."""
    from neuron_widget.networks.zoo import load_model

    with contextlib.redirect_stdout(sys.stderr):
        return load_model(name, weights=weights, device=device, report=lambda _line: None)


def add_dictionaries(model: VisionModel, files: Sequence[Path], layer: str) -> VisionModel:
    """The network with dictionaries out of files, each under its file's name."""
    from neuron_widget.networks import Dictionary

    for path in files:
        dictionary = Dictionary.load(path)
        base = dictionary.layer or layer.partition("/")[0]
        model.add_dictionary(base, dictionary, name=path.stem)
    return model


def model_with(layer: str) -> str:
    """The built-in network that has the layer, or has one of a name like it."""
    layer = layer.partition("/")[0]
    if layer == OUTPUT:  # every network has it
        return EMBEDDED if cached_inception() is None else INCEPTION
    try:
        resolve_layer(layer, INCEPTION_MODULES)
    except UnknownLayer:
        # Nothing is fetched for the sake of a name that is like none of InceptionV1's.
        return INCEPTION if nearest(layer, INCEPTION_MODULES) else EMBEDDED
    return INCEPTION


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a plain table; numbers to the right."""
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(titles), *text]) for i in range(len(titles))]

    def line(cells: Sequence[str], values: Sequence[object]) -> str:
        parts = [
            cell.rjust(width) if isinstance(value, int | float) else cell.ljust(width)
            for cell, width, value in zip(cells, widths, values, strict=True)
        ]
        return "  ".join(parts).rstrip()

    first = rows[0] if rows else titles
    return [line(titles, first), *(line(t, row) for t, row in zip(text, rows, strict=True))]


def neuron_list(text: str, channels: int, layer: str) -> list[int]:
    """``"1-10,68"`` or ``"all"`` as numbers.

    Raises
    ------
    NeuronOutOfRange
        For what is not of this form or not a neuron of the layer.
    """
    if text.strip().lower() == "all":
        return list(range(channels))
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise NeuronOutOfRange(
                f"--neurons {text!r}: {part!r} is no neuron or range; expected something like "
                f"1-10,68 or all (layer {layer} has 0 to {channels - 1})"
            )
        begin, end = int(first), int(last if dash else first)
        if end >= channels or begin > end:
            raise NeuronOutOfRange(
                f"--neurons {text!r}: {part.strip()} is outside of layer {layer}, which has "
                f"neurons 0 to {channels - 1}"
            )
        found += range(begin, end + 1)
    return list(dict.fromkeys(found))


class Bars:
    """Progress bars with rate and time left, on the error stream; none with ``--json``."""

    def __init__(self, as_json: bool):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=as_json,
        )
        self._said = ""
        self._tasks: dict[str, Any] = {}
        self._begun: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks:
            self._progress.stop()

    def say(self, text: object) -> None:
        """Print a line above the bars, unless it is the last one printed."""
        if str(text) != self._said:
            self._said = str(text)
            self._progress.console.print(self._said, markup=False, highlight=False)

    def update(
        self, title: str, done: float, total: float, unit: str = "", found: float = 0
    ) -> None:
        """Show how far a task is; what was ``found``, of what is done, took no time."""
        now = time.monotonic()
        if not self._tasks:  # with nothing to do nothing is shown, not even an empty line
            self._progress.start()
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total, rate="")
            self._begun[title] = (now, done - found)
        since, first = self._begun[title]
        made = done - found - first
        text = f"{made / max(now - since, 1e-9):.1f} {unit}/s" if made > 0 else ""
        self._progress.update(self._tasks[title], completed=done, total=total, rate=text)


class CtrlC:
    """Ctrl-C as a wish to stop after the present step; the second one interrupts at once."""

    def __init__(self) -> None:
        self._pressed = False

    def __enter__(self) -> CtrlC:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        print("\nstopping after this step (Ctrl-C again: at once)", file=sys.stderr)

    def drain(self, work: Generator[T, None, Any], each: Any, kept: str) -> Any:
        """Run a generator to its end and return its result; ``each`` gets what it yields.

        None is yielded where there is nothing to do but wait for another process.

        Ctrl-C closes it between two steps and raises :class:`Stopped`, so that what it keeps on
        closing is whole. What was finished nevertheless is returned: :meth:`check` comes next.
        """
        with contextlib.closing(work):
            while True:
                try:
                    step = next(work)
                except StopIteration as end:
                    return end.value
                if step is not None:
                    each(step)
                if self._pressed:
                    work.close()
                    raise Stopped(kept)

    def check(self, kept: str) -> None:
        """Raise :class:`Stopped` if Ctrl-C was pressed: asked before each further piece of work."""
        if self._pressed:
            raise Stopped(kept)
