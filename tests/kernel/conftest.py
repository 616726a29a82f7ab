"""A real ipykernel, spoken to as a page would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

Message = dict[str, Any]

# Only a test that hangs takes so long.
LIMIT = 300


@dataclass
class Kernel:
    """A running kernel and what its widgets said."""

    client: BlockingKernelClient
    manager: KernelManager
    messages: list[tuple[str, Message, list[bytes]]] = field(default_factory=list)

    def start(self, code: str, cell: str = "") -> str:
        """Send a cell; the id of the request."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": False,
            },
            metadata={"cellId": cell} if cell else {},
        )
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def run(self, code: str, cell: str = "", timeout: float = LIMIT) -> str:
        """Run a cell to its end; what it printed, or its error."""
        request = self.start(code, cell)
        text = ""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self._next(end)
            if message is None or message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "error":
                text += f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text
        raise TimeoutError(f"the cell did not end: {text}")

    def send(
        self, widget: str, content: Message, buffers: Sequence[bytes] = (), subshell: str = ""
    ) -> None:
        """A custom message of the page to a widget."""
        data = {"comm_id": widget, "data": {"method": "custom", "content": content}}
        # The channel's own `send` takes no buffers.
        session, socket = self.client.session, self.client.shell_channel.socket
        message = session.msg("comm_msg", data)
        if subshell:
            message["header"]["subshell_id"] = subshell
        session.send(socket, message, buffers=list(buffers))

    def control(self, request: str, **content: str) -> Message:
        """Ask on the control channel; what is answered."""
        message = self.client.session.msg(request, content)
        self.client.control_channel.send(message)
        while True:
            answer: Message = self.client.get_control_msg(timeout=LIMIT)
            if answer["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                found: Message = answer["content"]
                return found

    def wait_for(
        self, widget: str, found: Callable[[Message], bool], timeout: float = LIMIT
    ) -> tuple[Message, list[bytes]]:
        """The first message of a widget, not yet waited for, that is what is wanted."""
        end = time.monotonic() + timeout
        while True:
            for i, (comm, content, buffers) in enumerate(self.messages):
                if comm == widget and found(content):
                    del self.messages[: i + 1]
                    return content, buffers
            if time.monotonic() > end:
                kinds = [
                    content.get("kind") for comm, content, _ in self.messages if comm == widget
                ]
                raise TimeoutError(f"no such message; there were {kinds}")
            self._next(min(end, time.monotonic() + 0.5))

    def wait_for_all(
        self, widget: str, *wanted: Callable[[Message], bool]
    ) -> list[tuple[Message, list[bytes]]]:
        """The first message that is each of what is wanted, in whatever order they come."""
        left = dict(enumerate(wanted))
        found: dict[int, tuple[Message, list[bytes]]] = {}
        while left:
            part = self.wait_for(widget, lambda m: any(is_it(m) for is_it in left.values()))
            place = next(i for i, is_it in left.items() if is_it(part[0]))
            found[place] = part
            del left[place]
        return [found[i] for i in range(len(wanted))]

    def _next(self, end: float) -> Message | None:
        import queue

        try:
            message: Message = self.client.get_iopub_msg(timeout=max(0.01, end - time.monotonic()))
        except queue.Empty:
            return None
        if message["msg_type"] == "comm_msg":
            data = message["content"]["data"]
            if data.get("method") == "custom":
                buffers = [bytes(b) for b in message.get("buffers", [])]
                self.messages.append((message["content"]["comm_id"], data["content"], buffers))
        return message


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager = KernelManager()
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT)
    yield Kernel(client, manager)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
