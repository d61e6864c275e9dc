"""Which panels fit: normal, compact (history and latency become tabs), tiny (one panel at a time)."""

from __future__ import annotations

from textual.geometry import Size
from textual.screen import Screen

COMPACT_BELOW = Size(100, 30)
TINY_BELOW = Size(80, 24)

_TABS = {"-compact": ("", "history", "latency", "plot"), "-tiny": ("", "services", "history", "latency", "plot")}


class Panels:
    """Chooses classes on the screen; the stylesheet does the rest."""

    def __init__(self) -> None:
        self.tab = ""
        """Panel shown in the services' place (compact) or the checks' (tiny); empty is the usual one."""

    def fit(self, screen: Screen[None], size: Size) -> None:
        """Choose the layout for a size."""
        tiny = size.width < TINY_BELOW.width or size.height < TINY_BELOW.height
        compact = tiny or size.width < COMPACT_BELOW.width or size.height < COMPACT_BELOW.height
        screen.set_class(tiny, "-tiny")
        screen.set_class(compact, "-compact")
        screen.set_class(compact and size.height >= COMPACT_BELOW.height, "-tall")
        self.show_tab(screen, self.tab if self.tab in self._offered(screen) else "")

    def _offered(self, screen: Screen[None]) -> tuple[str, ...]:
        if screen.has_class("-tiny"):
            return _TABS["-tiny"]
        return _TABS["-compact"] if screen.has_class("-compact") else ("",)

    def cycle(self, screen: Screen[None]) -> bool:
        """Show the next panel; False when all are on the screen."""
        offered = self._offered(screen)
        if len(offered) == 1:
            return False
        self.show_tab(screen, offered[(offered.index(self.tab) + 1) % len(offered)])
        return True

    def show_tab(self, screen: Screen[None], tab: str) -> None:
        """Show one panel."""
        self.tab = tab
        for name in ("services", "history", "latency", "plot"):
            screen.set_class(name == tab or (name == "latency" and tab == "plot"), f"-tab-{name}")

    def show_latency(self, screen: Screen[None]) -> None:
        """Bring the latency panel up where it is a tab."""
        if "latency" in self._offered(screen):
            self.show_tab(screen, "latency")
