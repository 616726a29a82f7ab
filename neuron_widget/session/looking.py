"""A photo that a person brought: who fires on it, where, and what would change without them.

The photo stays in memory: it is in no store, no exported page and no saved notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError, NeuronWidgetError
from neuron_widget.protocol.messages import PHOTO_BYTES, PIECE_BYTES
from neuron_widget.session import look_messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.state import State
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from PIL import Image

    from neuron_widget.looking import Look
    from neuron_widget.scanning import ScanResult

__all__ = ["Looking"]

# Neurons in the row below the photo.
SHOWN = 12
LONGEST_NAME = 200


class Looking:
    """The jobs that look at a photo, and the answers about it.

    All maps of the photo are here once it was looked at, so that most questions are answered in
    the thread that asks.
    """

    def __init__(self, state: State, postpones: Callable[[str, Callable[[], object]], bool]):
        self._state = state
        self._postpones = postpones
        # A file of which not all pieces are there yet: its name there, and the pieces.
        self._upload = ""
        self._pieces: dict[int, bytes] = {}
        # What was brought, for another network too, and the square that this one sees of it.
        self._photo: Any = None
        self._name = ""
        self._square: Image.Image | None = None
        self._look: Look | None = None
        self._number = 0
        # Counts what was asked for, "no photo" too: a look that is not the newest is not shown,
        # not even where it was in the network already and comes to its end.
        self._asked = 0

    @property
    def look(self) -> Look | None:
        """The photo as the selected layer sees it."""
        return self._look

    def square_of(self, number: int) -> Image.Image:
        """The photo that was looked at so, as the network sees it; DatasetError if it is gone."""
        look = self._look
        if look is None or number != self._number:
            raise DatasetError("that photo was put away: bring it again")
        return look.image

    def let_go(self) -> None:
        """Forget the photo."""
        self._upload, self._pieces = "", {}
        self._photo = self._square = self._look = None
        self._state.looked = []

    # -------------------------------------------------------------- a photo comes and goes

    def receive(
        self,
        upload: str,
        name: str,
        piece: int,
        pieces: int,
        buffers: Sequence[bytes | memoryview],
    ) -> None:
        """Take in a piece of a file; look at it when all are there.

        Raises ``ValueError`` for what is no piece of a file.
        """
        most = -(-PHOTO_BYTES // PIECE_BYTES)
        if len(buffers) != 1 or not 0 <= piece < pieces:
            raise ValueError("the page brought no piece of a photo's file")
        data = bytes(buffers[0])
        if pieces > most or len(data) > PIECE_BYTES:
            self._failed(
                DatasetError(
                    f"{name[:LONGEST_NAME]!r} is larger than {PHOTO_BYTES // 10**6} MB; bring a "
                    "smaller copy of it, or give its path in Python: w.look(path)"
                )
            )
            return
        with self._state.lock:
            if upload != self._upload:
                self._upload, self._pieces = upload, {}
            self._pieces[piece] = data
            if len(self._pieces) < pieces:
                return
            whole = b"".join(self._pieces[i] for i in sorted(self._pieces))
            self._upload, self._pieces = "", {}
        self._state.no_error("photo")
        self.start(whole, name.replace("\\", "/").rpartition("/")[2][:LONGEST_NAME] or "the photo")

    def look_at_shown(self, target: Target, group: str, rank: int) -> None:
        """Look at one of the photos that fire a neuron most or least."""
        scan = self._state.cache.looked_into(target.layer)
        if scan is None:
            return

        def steps() -> Generator[None, None, Any]:
            yield
            examples = scan.top(target.neuron) if group == "most" else scan.bottom(target.neuron)
            return examples[max(0, min(rank, len(examples) - 1))]

        self._state.submit("look", steps(), self._begin, priority=0, on_error=self._failed)

    def start(self, photo: Any, name: str = "") -> Job | None:
        """Look at a photo: what :func:`neuron_widget.look` takes; when the network is open."""
        if self._postpones("look", lambda: self.start(photo, name)):
            return None
        return self._submit(photo, name)

    def _begin(self, photo: Any) -> None:
        self.start(photo)

    def refresh(self) -> None:
        """Look again, if there is another network, layer or scan."""
        state = self._state
        # What is on its way looks again itself.
        if self._square is None or state.model is None or state.running("look"):
            return
        if self._look is None or not self._is_now(self._look):
            self._submit(self._photo, self._name, self._square)

    def _is_now(self, look: Look) -> bool:
        """Whether a look is of what is selected, against the newest scan of it."""
        state = self._state
        return look.is_of(state.model, state.layer) and look.scan is self._scan(state.layer)

    def _scan(self, layer: str) -> ScanResult | None:
        """The scan of a layer, if it is of the network as it is now."""
        model, scan = self._state.model, self._state.cache.scans.get(layer)
        if model is None or scan is None or scan.model_identity != model.identity:
            return None
        return scan

    def _submit(self, photo: Any, name: str, square: Image.Image | None = None) -> Job:
        with self._state.lock:
            self._asked += 1
            asked = self._asked

        def looked(look: Look) -> None:
            if asked == self._asked:
                self._photo, self._name, self._square = photo, look.name, look.image
                self._on_looked(look)

        steps = self._steps(photo, name, square)
        return self._state.submit("look", steps, looked, priority=0, on_error=self._failed)

    def _steps(
        self, photo: Any, name: str, square: Image.Image | None
    ) -> Generator[None, None, Look]:
        yield
        from neuron_widget.looking.engine import look_at
        from neuron_widget.looking.photo import square_of
        from neuron_widget.photos.given import name_of

        state = self._state
        model, layer = state.model, state.layer
        assert model is not None
        name = name or name_of(photo)
        if square is None or square.size != (model.input_size, model.input_size):
            square = square_of(photo, model.input_size, name)
            yield
        scan = self._scan(layer)
        before = self._look
        if (
            before is not None
            and before.image is square
            and before.is_of(model, layer)
            and before.is_current
        ):
            return before.against(scan)
        return look_at(model, layer, square, name, scan)

    def _on_looked(self, look: Look) -> None:
        state = self._state
        if not self._is_now(look):
            self.refresh()  # another layer was selected meanwhile, or its scan is done
            return
        self._number += 1
        first = look_messages.looked(look, self._number)
        strongest = look_messages.whole(look, self._number, SHOWN)
        with state.lock:
            self._look = look
            state.looked = [first, strongest]
        state.no_error("photo")
        for part in (first, strongest):
            state.send(*part)
        self.answer("", [])

    def _failed(self, error: BaseException) -> None:
        self._state.fail("photo", "This photo cannot be looked at", error)

    def put_away(self) -> None:
        """Forget the photo, and say so."""
        self._state.stop("look", "answer")
        with self._state.lock:
            self._asked += 1
            self.let_go()
        self._state.no_error("photo")
        self._state.send({"kind": "put_away"}, [])

    # -------------------------------------------------------------- questions about it

    def send_map(self, target: Target) -> None:
        """Say where on the photo a neuron fires."""
        look = self._look
        if look is not None and look.layer == target.layer:
            self._state.send(*look_messages.photo_map(look, self._number, target.neuron))

    def send_place(self, row: int, column: int) -> None:
        """Say which neurons fire most at a position; NeuronOutOfRange for none of the map."""
        look = self._look
        if look is not None:
            self._state.send(*look_messages.place(look, self._number, row, column, SHOWN))

    def answer(
        self, question: str, targets: Sequence[Target], *, mean: bool = False, times: float = 0.0
    ) -> Job | None:
        """Say what the network answers with these neurons changed; with none of them, as it is."""
        look, number = self._look, self._number
        if look is None:
            return None
        neurons = [target.neuron for target in targets if target.layer == look.layer]

        def steps() -> Generator[None, None, Message]:
            yield
            try:
                made = look.without(neurons, "mean") if mean else look.times(neurons, times)
            except NeuronWidgetError as error:
                return look_messages.no_answer(number, question, str(error))
            return look_messages.answer(number, question, made)

        def send(message: Message) -> None:
            with self._state.lock:
                if number != self._number or not self._state.looked:
                    return
                part: Part = (message, [])
                self._state.looked = [*self._state.looked[:2], part]
            self._state.send(*part)

        return self._state.submit("answer", steps(), send, priority=0, on_error=self._failed)
