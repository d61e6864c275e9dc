"""The explorer's keys of what is supposed: a service's role, and which memory of the tenants is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_tui.core.against import Against
from gpu_tui.core.books import Service
from gpu_tui.core.what_if import sentences
from gpu_tui.tui import texts
from gpu_tui.tui.screens.dialogs import TextDialog
from gpu_tui.view import against as words
from gpu_tui.view.spans import Line, cut_line
from gpu_tui.view.tenants import peak_lines
from gpu_tui.view.text import clean
from gpu_tui.view.who import driver_lines, facts, model_words

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp

SLIDER_TITLE = "vLLM --gpu-memory-utilization"
SERVICES_TITLE = "Production services"


def next_against(app: GpuTuiApp) -> None:
    """Judge against now, the peaks together, the worst case, in turn."""
    order = list(Against)
    explorer = app.explorer
    explorer.judge_against(order[(order.index(explorer.against) + 1) % len(order)])
    app.show_machine()
    told = f"Judged against {words.LONG[explorer.against]}."
    if explorer.against is not Against.NOW:
        told += f" {words.known_words(explorer.peaks, recorded=app.replay.active)}"
    app.notify(told)


def suppose(app: GpuTuiApp, service: Service) -> None:
    """The next supposed role of a row."""
    app.explorer.suppose(service)
    view = app.explorer.view()
    told = [one for one in sentences(view.now) if one.startswith(f"What if {service.name} ")] if view else []
    app.show_machine()
    app.notify(clean(told[0], 200) if told else f"{clean(service.name, 24)}: its real role again.")


def titles(app: GpuTuiApp) -> tuple[str, str]:
    """Of the services' box and of the slider's: both say what is supposed."""
    explorer = app.explorer
    supposed = f"{SERVICES_TITLE}, what if" if explorer.supposed else SERVICES_TITLE
    slider = f"{SLIDER_TITLE}{app.planner.lessons.title}"
    if explorer.against is Against.NOW:
        return supposed, slider
    return supposed, f"{slider}, against {words.TITLES[explorer.against]}"


def shrunk_line(app: GpuTuiApp, room: int) -> Line:
    """How the feasible range shrinks and by whom; empty while the plan is judged against now."""
    view = app.explorer.view()
    if view is None or view.against is Against.NOW:
        return []
    told = words.shrunk(app.explorer.feasible_now(), app.explorer.feasible(), view.growers, view.against)
    return cut_line([(told or f"no tenant is known to take more than now ({words.TITLES[view.against]})", "")], room)


def show_service(app: GpuTuiApp, service: Service) -> None:
    """Who a service is, what it held, its processes."""
    explorer = app.explorer
    gpu, snapshot, books = explorer.gpu, explorer.snapshot, explorer.books()
    if gpu is None or snapshot is None or books is None:
        return
    lines: list[Line] = [[(f"{what:<11}", "dim"), (told, "")] for what, told in facts(service, snapshot)]
    found = app.tenants.residents.get(service.name)
    if found is not None:
        lines.append([(f"{'models':<11}", "dim"), (model_words(found.models, found.source), "")])
    lines += peak_lines(service, books, app.tenants.peaks(gpu.key), explorer.if_loaded.get(service.name))
    lines += [[], *texts.process_lines(service, gpu, snapshot)]
    app.push_screen(TextDialog(f"{service.name}: who it is on GPU {gpu.label}", lines))


def show_driver(app: GpuTuiApp) -> None:
    """What is known of memory that no process explains, and on what the list rests."""
    explorer = app.explorer
    gpu, snapshot, books = explorer.gpu, explorer.snapshot, explorer.books()
    if gpu is None or snapshot is None or books is None:
        return
    lines = driver_lines(books, gpu, snapshot)
    suggested = app.tenants.peaks(gpu.key).suggested_headroom_bytes
    need = explorer.plan_need.on(books.total_bytes)
    lines += [[], *words.headroom_lines(need.headroom_bytes, suggested)]
    app.push_screen(TextDialog(f"Memory of nobody's on GPU {gpu.label}", lines))
