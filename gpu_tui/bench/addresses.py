"""Where a service may answer: an address brought to its root, and where it was come by. Knows no HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gpu_tui.errors import UsageError

_ENDPOINT_TAILS = ("/chat/completions", "/audio/transcriptions", "/models")


def base_url(url: str) -> str:
    """The root of a service's OpenAI-compatible interface: ``localhost:8000/v1/`` → ``http://localhost:8000``.

    Raises:
        UsageError: this is not an http or https address.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"The endpoint address is not a URL: {error}.", _URL_REMEDY) from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        raise UsageError("The endpoint address is not an http or https URL.", _URL_REMEDY)
    path = parts.path.rstrip("/")
    for tail in _ENDPOINT_TAILS:
        path = path.removesuffix(tail)
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/v1').rstrip('/')}"


_URL_REMEDY = "Write it like http://127.0.0.1:8000."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place where a service may answer."""

    url: str
    """Root of the service, without ``/v1``."""
    origin: str
    """Where it was found, in words: ``--llm``, ``[endpoints] llm``, ``port of judge (pid 4242)``."""
    chosen: bool = False
    """Named by the user: measured even where the server describes itself badly, and the API key is sent there.
    Other candidates must prove what they are, and never see the key."""

    def __post_init__(self) -> None:
        """Bring the address to its root.

        Raises:
            UsageError: it is not an address.
        """
        object.__setattr__(self, "url", base_url(self.url))


def candidates(*urls: str | None, origin: str, chosen: bool = False) -> tuple[Candidate, ...]:
    """A candidate for each address that is there; the first of equal ones stays.

    Raises:
        UsageError: one is not an address.
    """
    return tuple(Candidate(url=url, origin=origin, chosen=chosen) for url in dict.fromkeys(filter(None, urls)))
