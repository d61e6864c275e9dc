"""Bytes → server-sent events, as they come. Knows no network and no meaning of the data.

Follows the event stream format of the WHATWG HTML standard (section 9.2): lines end in LF, CR or CRLF, a blank line
ends an event, several ``data:`` lines are joined with LF, a line starting with a colon is a comment.
"""

from __future__ import annotations

import re

DONE = "[DONE]"
"""The data of the event that ends an OpenAI stream."""
MAX_LINE_BYTES = 256 * 1024
MAX_EVENT_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class SseError(ValueError):
    """The bytes are no event stream.

    Args:
        kind: ``line_too_long`` or ``bad_encoding``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class SseDecoder:
    """Feed it bytes cut anywhere, also inside a character; it gives back whole events.

    Args:
        max_line: longest line in bytes that is kept; a longer one is an error, so that an endless one cannot
            fill the memory.
        max_event: likewise for the joined data of one event.
    """

    def __init__(self, max_line: int = MAX_LINE_BYTES, max_event: int = MAX_EVENT_BYTES) -> None:
        self._max_line = max_line
        self._max_event = max_event
        self._rest = bytearray()
        self._data: list[str] = []
        self._event_bytes = 0
        self._fresh = True
        self._after_cr = False

    @property
    def pending(self) -> bool:
        """Whether part of an event has come and its end has not."""
        return bool(self._rest or self._data)

    def feed(self, data: bytes) -> list[str]:
        """The data of every event that `data` completes, in order; ``event:``, ``id:`` and ``retry:`` are ignored.

        Raises:
            SseError: a line is too long, or is not UTF-8.
        """
        self._rest += data
        if self._fresh:
            if _BOM.startswith(self._rest[:3]) and len(self._rest) < 3:
                return []
            if self._rest.startswith(_BOM):
                del self._rest[:3]
            self._fresh = False
        if self._after_cr and self._rest:
            # The line ended with its CR: to wait for an LF would stamp the event with the arrival of the next one.
            self._rest = self._rest.removeprefix(b"\n")
            self._after_cr = False
        events: list[str] = []
        start = 0
        for end in _LINE_END.finditer(self._rest):
            self._line(bytes(self._rest[start : end.start()]), events)
            start = end.end()
            self._after_cr = end[0] == b"\r" and start == len(self._rest)
        del self._rest[:start]
        if len(self._rest) > self._max_line:
            raise SseError("line_too_long", f"a line is longer than {self._max_line} bytes")
        return events

    def finish(self) -> list[str]:
        """What the end of the stream completes: a last event whose blank line was left out.

        The standard drops such an event; servers that end with a bare ``data: [DONE]`` exist.

        Raises:
            SseError: the last line is not UTF-8, such as half a character.
        """
        events: list[str] = []
        if self._rest:
            self._line(bytes(self._rest), events)
            self._rest.clear()
        self._line(b"", events)
        return events

    def _line(self, raw: bytes, events: list[str]) -> None:
        if len(raw) > self._max_line:
            raise SseError("line_too_long", f"a line is longer than {self._max_line} bytes")
        if not raw:
            if self._data:
                events.append("\n".join(self._data))
            self._data, self._event_bytes = [], 0
            return
        try:
            field, _, value = raw.decode("utf-8").partition(":")
        except UnicodeDecodeError:
            raise SseError("bad_encoding", "a line is not UTF-8") from None
        if field != "data":
            return
        self._event_bytes += len(raw)
        if self._event_bytes > self._max_event:
            raise SseError("line_too_long", f"an event is longer than {self._max_event} bytes")
        self._data.append(value.removeprefix(" "))
