"""How true the prediction of a vLLM start is, and how fast: on 148 starts that operators reported in public.

`python -m tests.benchmarks.bench_predict [-v]`. Each start is predicted at three levels of knowledge: with every term
its log tells, with the weights alone, with the config alone; the first two also without its release. Truths are what
vLLM printed and how it ended. Nothing here passes or fails; `tests/core/test_sample.py` holds the figures to a floor.

Most constants were fitted to these starts; the figures *without the case* speak for others: truths in bands whose
width all other starts set, or those of other families.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from gpu_tui.config import Settings
from gpu_tui.core.books import keep_books
from gpu_tui.core.planning import Judgement, judge
from gpu_tui.core.services import Classifier
from gpu_tui.core.start import Prediction
from gpu_tui.errors import GpuTuiError
from gpu_tui.units import GIB
from gpu_tui.wiring.machine import model_need
from gpu_tui.wiring.planning import asked_utilization, case_of, judgement, planned_start

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "core" / "data" / "configs"
LEVELS = ("all terms", "weights only", "config only")
UNTOLD = ", release not told"
"""Behind a level: the same without vLLM's version, which most reports leave out."""
OUTCOMES = ("started", "not_enough_free", "no_cache_blocks", "max_len_too_long")
LOG_ROUNDING = 0.005
"""GiB by which a figure of two decimals may be off."""
TERMS = ("weights_mib", "activation_mib", "non_torch_mib", "cuda_graph_mib")


@dataclass(frozen=True)
class Start:
    """One reported start."""

    row: dict[str, Any]

    def raw(self, level: str) -> dict[str, Any]:
        """Its case with what this level knows."""
        case = json.loads(json.dumps(self.row["case"]))
        known, untold, _ = level.partition(UNTOLD)
        kept = {"all terms": TERMS, "weights only": TERMS[:1], "config only": ()}[known]
        if untold:
            case["vllm"].pop("version", None)
        case["model"] = {k: v for k, v in case["model"].items() if k not in TERMS or k in kept}
        if self.row.get("config"):
            config = json.loads((CONFIGS / f"{self.row['config']}.json").read_text())
            case["model"]["config"] = {**config, **self.row.get("config_changes", {})}
        return {"id": self.row["id"], **case}

    @property
    def family(self) -> str:
        """The model's maker and series as its config is called here; a start without one is its own."""
        return str(self.row["config"]).split("-")[0] if self.row.get("config") else str(self.row["id"])

    @property
    def known(self) -> bool:
        """Total, utilization, weights and max_model_len are told: the outcome should be right."""
        case = self.row["case"]
        total = {"total_mib", "nvml_total_mib"} & case["gpu"].keys()
        vllm = {"gpu_memory_utilization", "max_model_len"} <= case["vllm"].keys()
        return bool(total) and vllm and "weights_mib" in case["model"]


def starts() -> list[Start]:
    """The whole sample."""
    return [Start(json.loads(line)) for line in (HERE / "data" / "starts.jsonl").read_text().splitlines()]


def judged(raw: dict[str, Any]) -> Judgement:
    """What `gpu-tui check --scenario -` answers from.

    Raises:
        GpuTuiError: the case means nothing.
    """
    settings = Settings()
    snapshot = case_of(raw, str(raw.get("id")))
    gpu = snapshot.gpus[0]
    asked = asked_utilization(None, settings, snapshot)
    assert asked is not None
    return judgement(asked[0], settings, snapshot, gpu, keep_books(snapshot, gpu, Classifier(settings.services)))


def each(level: str) -> Iterator[tuple[Start, Judgement]]:
    """Every start with its prediction; a case that cannot be read is told and left out."""
    for start in starts():
        try:
            yield start, judged(start.raw(level))
        except GpuTuiError as error:
            print(f"  {start.row['id']}: {error}")


def outcomes(level: str, *, only_known: bool) -> tuple[Counter[tuple[str, str]], list[str]]:
    """(truth, predicted) counted over starts that ended in one of the four ways, and the misses."""
    table: Counter[tuple[str, str]] = Counter()
    misses = []
    for start, found in each(level):
        truth = start.row["truth"]["outcome"]
        if truth not in OUTCOMES or (only_known and not start.known):
            continue
        told = found.prediction.outcome
        predicted = "cannot judge" if told is None else told.value
        table[truth, predicted] += 1
        if predicted not in (truth, "cannot judge"):
            certain = " (called certain)" if found.prediction.certain else ""
            misses.append(
                f"{start.row['id']}: {truth}, predicted {predicted}{certain}: {start.row.get('note', '')[:80]}"
            )
    return table, misses


@dataclass(frozen=True)
class Cache:
    """A KV cache that was printed, and what was predicted of it. GiB."""

    id: str
    family: str
    predicted: float
    low: float
    high: float
    true: float

    @property
    def inside(self) -> bool:
        """The truth, which a log rounds to two decimals, lies in the band."""
        return self.score <= 1

    @property
    def score(self) -> float:
        """How far the truth is from the prediction, as a share of the band's half on that side."""
        off = max(0.0, abs(self.true - self.predicted) - LOG_ROUNDING)
        half = self.high - self.predicted if self.true > self.predicted else self.predicted - self.low
        return 0.0 if off == 0 else off / half if half > 0 else math.inf


def caches(level: str) -> list[Cache]:
    """Every start that printed its KV cache and can be predicted.

    For "all terms" those whose log tells weights, activation and non-torch memory; else those that tell their weights.
    """
    needed = TERMS[:3] if level.startswith("all terms") else TERMS[:1]
    rows = []
    for start, found in each(level):
        case, true, band = start.row["case"], start.row["truth"].get("kv_gib"), found.prediction.kv_cache_band
        told = all(term in case["model"] for term in needed) and "gpu_memory_utilization" in case["vllm"]
        if true is not None and band is not None and found.start is not None and told:
            middle = (found.prediction.kv_cache_bytes or 0) / GIB
            low, high = band[0] / GIB, band[1] / GIB
            rows.append(Cache(id=start.row["id"], family=start.family, predicted=middle, low=low, high=high, true=true))
    return rows


def cache_errors(level: str) -> list[tuple[str, float, float, bool]]:
    """(id, predicted GiB, true GiB, inside the band) of the same."""
    return [(one.id, one.predicted, one.true, one.inside) for one in caches(level)]


def left_out(rows: list[Cache], *, families: bool) -> int:
    """How many lie inside bands that were scaled to hold nine of ten of the others: all but the case, or its family.

    The scale is that of split conformal prediction: of n other scores the ceil(0.9 (n + 1))-th smallest, the largest
    of them where that is beyond n. It may be below 1: then the bands are made narrower.
    """
    inside = 0
    for one in rows:
        others = sorted(o.score for o in rows if o.id != one.id and not (families and o.family == one.family))
        scale = others[min(len(others), math.ceil(0.9 * (len(others) + 1))) - 1] if others else 1.0
        inside += one.score <= scale
    return inside


def token_starts() -> Iterator[tuple[Start, int, Prediction]]:
    """Starts that printed cache and tokens (or blocks of 16), predicted from the cache's bytes, and those tokens."""
    for start in starts():
        truth = start.row["truth"]
        true = truth.get("kv_tokens") or (truth["num_blocks"] * 16 if "num_blocks" in truth else None)
        if true is None or truth.get("kv_gib", -1) <= 0 or not start.row.get("config"):
            continue
        raw = start.raw("weights only")
        raw["vllm"]["kv_cache_memory_bytes"] = round(truth["kv_gib"] * GIB)
        raw["model"].setdefault("weights_mib", 1)
        yield start, true, judged(raw).prediction


def token_errors() -> list[tuple[str, float]]:
    """(id, relative error) of the tokens, given the bytes of the cache."""
    return [
        (start.row["id"], found.kv_tokens / true - 1)
        for start, true, found in token_starts()
        if found.kv_tokens is not None
    ]


def token_bands() -> list[tuple[str, int, int, int]]:
    """(id, low, high, true) of the tokens, given the bytes of the cache."""
    return [
        (start.row["id"], *found.kv_tokens_band, true)
        for start, true, found in token_starts()
        if found.kv_tokens_band is not None
    ]


def speed(seconds: float = 1.0) -> tuple[float, float]:
    """Predictions a second on one core: (one model at many utilizations, everything from the config's facts on)."""
    start = next(s for s in starts() if s.row.get("config") == "llama-3.1-8b" and s.known)
    settings = Settings()
    snapshot = case_of(start.raw("all terms"), "speed")
    gpu = snapshot.gpus[0]
    books = keep_books(snapshot, gpu, Classifier(settings.services))
    base = model_need(settings, snapshot)
    model = planned_start(settings, snapshot, gpu, books, base)

    def rate(one: Any) -> float:
        begun, count = time.process_time(), 0
        while time.process_time() - begun < seconds:
            for k in range(200):
                one(0.5 + k / 1000)
            count += 200
        return count / (time.process_time() - begun)

    return (
        rate(lambda u: judge(u, gpu, books, base, model)),
        rate(lambda u: judge(u, gpu, books, base, planned_start(settings, snapshot, gpu, books, base))),
    )


def share(part: int, whole: int) -> str:
    """``31/32 (96.9 %)``."""
    return f"{part}/{whole} ({100 * part / whole:.1f} %)" if whole else "none"


def print_caches(rows: list[Cache], verbose: bool) -> None:
    """Errors and bands of the KV caches of one level."""
    if not rows:
        return
    relative = [abs(one.predicted - one.true) / max(abs(one.true), 0.5) for one in rows]
    print(f"  KV cache, n={len(rows)}: median error {100 * median(relative):.2f} %")
    alone, kin = (left_out(rows, families=families) for families in (False, True))
    print(
        f"    inside the band {share(sum(one.inside for one in rows), len(rows))}; the band scaled without the case "
        f"{share(alone, len(rows))}, without its family {share(kin, len(rows))}; "
        f"width, median: {median(one.high - one.low for one in rows):.2f} GiB"
    )
    for one in rows if verbose else []:
        told = f"{one.predicted:.2f} GiB in {one.low:.2f} to {one.high:.2f}, true {one.true:.2f}"
        print(f"    {one.id}: {told}{'' if one.inside else '  OUTSIDE'}")


def main(verbose: bool) -> None:
    """Print all figures."""
    print(f"{len(starts())} starts")
    for level in (*LEVELS[:2], *(level + UNTOLD for level in LEVELS[:2]), LEVELS[2]):
        print(f"\n{level}")
        for only_known in (True, False):
            table, misses = outcomes(level, only_known=only_known)
            told = {pair: n for pair, n in table.items() if pair[1] != "cannot judge"}
            right = sum(n for (truth, predicted), n in told.items() if truth == predicted)
            which = "total, utilization, weights, max_model_len known" if only_known else "all"
            print(f"  outcome right, {which}: {share(right, sum(told.values()))}, of {sum(table.values())}")
            if only_known is False:
                for truth in OUTCOMES:
                    cells = [
                        f"{name} {table[truth, name]}" for name in (*OUTCOMES, "cannot judge") if table[truth, name]
                    ]
                    print(f"    {truth:<17} -> {', '.join(cells)}")
            for miss in misses if verbose or only_known else []:
                print(f"    miss {miss}")
        print_caches(caches(level), verbose)
    tokens, bands = token_errors(), token_bands()
    near = sum(abs(error) <= 0.01 for _, error in tokens)
    print(
        f"\ntokens given the cache's bytes, n={len(tokens)}: median error "
        f"{100 * median(abs(e) for _, e in tokens):.3f} %, within 1 %: {share(near, len(tokens))}, "
        f"inside the band: {share(sum(low <= true <= high for _, low, high, true in bands), len(bands))}"
    )
    for name, error in (pair for pair in tokens if abs(pair[1]) > 0.01):
        print(f"  {name}: {100 * error:+.2f} %")
    one, whole = speed()
    print(
        f"\nspeed, by CPU time: {one:,.0f} predictions a second of one model, "
        f"{whole:,.0f} with the model set up anew each time"
    )


if __name__ == "__main__":
    main("-v" in sys.argv)
