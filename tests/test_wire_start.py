"""The JSON shape of a prediction."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings

from gpu_tui.core.plan import Plan
from gpu_tui.core.remedies import RemedyKind
from gpu_tui.core.start import Call, Outcome
from gpu_tui.wire_start import start_object
from tests.core.plans import plans
from tests.core.test_remedies import qwen


def told(plan: Plan, **more: Any) -> dict[str, Any]:
    return start_object(plan, plan.judge(), **more)


def test_a_device_that_cannot_be_judged_has_no_outcome_whatever_its_figures_say() -> None:
    plan = qwen(0.6)
    assert told(plan)["outcome"] == "no_cache_blocks"
    got = told(plan, judged=False)
    assert got["outcome"] is got["error_text"] is got["remedies"] is None
    assert (got["call"], got["outcome_certain"]) == ("unknown", False)
    assert got["terms"] is not None


def test_the_case_s_own_id_is_given_back() -> None:
    assert told(qwen(0.9), case=7)["id"] == 7
    assert told(qwen(0.9))["id"] is None


@given(plans())
@settings(max_examples=60)
def test_every_plan_has_the_same_keys_and_is_json(plan: Plan) -> None:
    got = told(plan)
    assert got.keys() == told(qwen(0.9)).keys()
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["call"] in set(Call)
    assert got["outcome"] in {None, *Outcome}
    failed = got["outcome"] not in (None, Outcome.STARTED)
    assert (got["error_text"] is not None) is failed
    assert (got["remedies"] is None) is (got["outcome"] is None or not plan.of_known_model)
    for remedy in got["remedies"] or ():
        assert remedy.keys() == {"kind", "sentence", "flags", "certain"}
        assert remedy["kind"] in set(RemedyKind)
    for name in ("kv_cache_band_mib", "kv_tokens_band"):
        assert got[name] is None or got[name]["low"] <= got[name]["high"]
