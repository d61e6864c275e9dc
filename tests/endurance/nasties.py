"""Names that attack a terminal, a markup language or a parser, and a machine on which everything bears one."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

MARK = "QZJX"
"""Stands in each payload, so that a test can tell whether it was shown at all."""

NASTIES = {
    "window title": f"\x1b]0;{MARK}\x07",
    "clipboard": f"\x1b]52;c;{MARK}\x1b\\",
    "hyperlink": f"\x1b]8;;http://x\x1b\\{MARK}\x1b]8;;\x1b\\",
    "colours and cursor": f"\x1b[31m\x1b[2J\x1b[H{MARK}\x1b[?1049l",
    "device control": f"\x1bP+q544e\x1b\\{MARK}",
    "C1 controls": f"\x9b31m\x9d0;{MARK}\x9c\x90\x85\x80",
    "bidi override": f"\u202e{MARK}\u2066\u200f\u061c",
    "zero width": f"\u200b\u200d\ufeff{MARK}\u2060\xad\u180e",
    "combining flood": f"{MARK}" + "\u0301" * 300,
    "wide emoji": f"{MARK}👩‍👩‍👧‍👦🏳️‍🌈你好🇩🇪",
    "four KiB": f"{MARK}" + "x" * 4096,
    "many lines": f"{MARK}\n\n\r\n\ttab\x0bvt\x0cff\u2028ls\u2029ps",
    "NUL and friends": f"{MARK}\x00\x01\x07\x08\x7f",
    "markup": f"[red]{MARK}[/]",
    "markup click": f"[@click=app.quit]{MARK}[/]",
    "markup broken": f"[/{MARK}][[[bold",
    "markup link": f'[link="http://x"]{MARK}[/link]',
    "json": f'"}}{MARK}\\u001b]0;x\\n{{"',
    "percent and braces": f"%s%n{{0}}{{x!r}}{MARK}$(id)`id`",
    "not characters": f"{MARK}\ufffe\uffff\U000e0001\U000e0020",
}


def machine(payload: str) -> dict[str, Any]:
    """A scenario file's content: everything that others may name bears the payload."""
    serve = ["/v/python", "/v/vllm", "serve", payload, "--port", "8001", "--gpu-memory-utilization", "0.5"]
    return {
        "id": payload,
        "driver_version": payload,
        "gpu": {"name": payload, "total_mib": 12288, "nvml_total_mib": 12288, "reserved_mib": 0},
        "processes": [
            {"pid": 11, "name": payload, "cmdline": [payload, payload], "used_mib": 242, "user": payload},
            {"pid": 12, "name": f"ollama{payload}", "cmdline": ["ollama", payload], "used_mib": 1068},
            {"pid": 13, "name": "python", "cmdline": ["python", "-m", "kloros_voice", payload], "used_mib": 952},
            {"pid": 14, "name": "VLLM::EngineCore", "cmdline": ["VLLM::EngineCore"], "used_mib": 6134, "ppid": 15},
            {"pid": 16, "name": f"job{payload}", "cmdline": None, "used_mib": 3, "problem": payload},
        ],
        "parents": [{"pid": 15, "name": "vllm", "cmdline": [*serve, "--served-model-name", payload], "user": payload}],
        "model": {"name": payload, "model_mib": 5700, "min_kv_cache_mib": 370},
        "story": {"loop_s": 4, "events": [{"at_s": 0.001, "until_s": 4, "caption": payload}]},
    }


def written(payload: str, folder: Path) -> Path:
    """The machine as a file whose name bears the payload as well."""
    name = "".join(char for char in payload if char not in "/\0").encode("utf-8", "surrogateescape")[:120]
    path = folder / (name.decode("utf-8", "ignore") + ".json")
    path.write_text(json.dumps(machine(payload)))
    return path


def unseen(text: str) -> str:
    """What of the text is neither visible nor the end of a line."""
    return "".join(sorted({char for char in text if not (char.isprintable() or char == "\n")}))


_ESCAPE = re.compile(
    r"\x1b(?:\[(?P<csi>[0-9:;<=>?]*[ -/]*[@-~])|\](?P<osc>\d*)(?P<body>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|[PX^_](?P<dcs>[^\x1b]*)\x1b\\|(?P<two>[ -/]*[0-~]))"
)


def copied(body: str) -> bool:
    """Whether it puts visible text into the clipboard, as the keys that copy do."""
    try:
        text = base64.b64decode(body.removeprefix(";c;"), validate=True).decode("utf-8")
    except ValueError:
        return False
    return bool(text) and not unseen(text)


def sequences(raw: str) -> tuple[set[str], str]:
    """Kinds of escape sequences in what a program wrote, and the rest of it.

    Of colours, cursor positions and window titles the kind counts, of modes the number too.
    """
    kinds: set[str] = set()

    def kind(found: re.Match[str]) -> str:
        csi = found["csi"]
        if csi is not None:
            kinds.add(f"CSI {csi}" if csi[-1] in "hlcnpqtu" else f"CSI {csi[-1]}")
        elif found["osc"] is not None:
            kinds.add(f"OSC {found['osc']}{' of visible text' if copied(found['body']) else ''}")
        elif found["dcs"] is not None:
            kinds.add(f"DCS {found['dcs']}")
        else:
            kinds.add(f"ESC {found['two']}")
        return ""

    return kinds, _ESCAPE.sub(kind, raw)
