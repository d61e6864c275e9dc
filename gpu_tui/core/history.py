"""What a GPU's services held over the last while: bounded, and resampled for drawing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping


class History:
    """Samples of several named series at common instants; the oldest are forgotten.

    Args:
        keep_s: how far back is kept, in seconds of the stamps given.
        limit: how many samples are kept at most, whatever their age.
    """

    def __init__(self, keep_s: float = 300.0, limit: int = 4096) -> None:
        self.keep_s = keep_s
        self._samples: deque[tuple[float, Mapping[str, int | None]]] = deque(maxlen=limit)

    def add(self, at_s: float, values: Mapping[str, int | None]) -> None:
        """Take one sample. A stamp that goes back (a clock that was set) starts anew."""
        if self._samples and at_s < self._samples[-1][0]:
            self._samples.clear()
        self._samples.append((at_s, values))
        while at_s - self._samples[0][0] > self.keep_s:
            self._samples.popleft()

    def __len__(self) -> int:
        return len(self._samples)

    def names(self) -> list[str]:
        """Series in the order of their newest sample, then those seen only before."""
        seen: dict[str, None] = {}
        for _, values in reversed(self._samples):
            seen.update(dict.fromkeys(values))
        return list(seen)

    def resample(self, name: str, points: int, until_s: float | None = None) -> list[int | None]:
        """`points` values over the last `keep_s` seconds, newest last; None where nothing was sampled.

        The largest value of a stretch stands for it, so that a peak between two dots is not lost; a gap of up to two
        stretches (a tick that came late) is filled with the value before.
        """
        if not self._samples or points <= 0:
            return [None] * max(points, 0)
        step = self.keep_s / points
        newest = self._samples[-1][0] if until_s is None else until_s
        # Stretches lie on a fixed grid of time, so that the picture stands still until a new one begins.
        end = (newest // step + 1) * step
        buckets: list[int | None] = [None] * points
        for at, values in self._samples:
            i = points - 1 - int((end - at) / step)
            value = values.get(name)
            if 0 <= i < points and value is not None:
                buckets[i] = max(value, buckets[i] or 0)
        return _bridge(buckets, 2 if len(self._samples) > 1 else 0, self._spacing() / step)

    def _spacing(self) -> float:
        first, last = self._samples[0][0], self._samples[-1][0]
        return (last - first) / max(1, len(self._samples) - 1)


def _bridge(buckets: list[int | None], slack: int, spacing: float) -> list[int | None]:
    allowed = max(slack, round(spacing * 2))
    filled = list(buckets)
    last, gap = None, 0
    for i, value in enumerate(buckets):
        if value is not None:
            if last is not None and 0 < gap <= allowed:
                filled[i - gap : i] = [last] * gap
            last, gap = value, 0
        else:
            gap += 1
    return filled
