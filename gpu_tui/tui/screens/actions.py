"""The explorer's keys that open a dialog or act on the app as a whole: what they do is in `gpu_tui.tui.actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gpu_tui.tui import actions, supposing
from gpu_tui.tui.screens.replaying import ReplayingScreen

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp


class ActionsScreen(ReplayingScreen):
    """Base of the explorer's screen."""

    @property
    def gpu_app(self) -> GpuTuiApp:
        """The app, typed."""
        return cast("GpuTuiApp", self.app)

    def action_run_mode(self) -> None:
        """Choose how to measure, and do it."""
        actions.choose_mode(self.gpu_app)

    def action_history(self) -> None:
        """Show the journal's runs."""
        actions.show_history(self.gpu_app)

    def action_alerts(self) -> None:
        """List the alerts."""
        actions.show_alerts(self.gpu_app)

    def action_deployments(self) -> None:
        """Show the starts of vLLM servers."""
        actions.show_deployments(self.gpu_app)

    def action_big_plot(self) -> None:
        """Show the plots large."""
        actions.show_plots(self.gpu_app)

    def action_next_plot(self) -> None:
        """Turn to the next plot."""
        actions.next_plot(self.gpu_app)

    def action_explain(self) -> None:
        """Explain every figure."""
        actions.explain(self.gpu_app)

    def action_against(self) -> None:
        """Judge against other memory of the tenants."""
        supposing.next_against(self.gpu_app)

    def action_model(self) -> None:
        """Choose the model to plan with."""
        actions.choose_model(self.gpu_app)

    def action_learned(self) -> None:
        """Apply what past starts taught, or take it back."""
        actions.toggle_learned(self.gpu_app)

    def action_type(self) -> None:
        """Show what to type."""
        actions.show_what_to_type(self.gpu_app)

    def action_restarts(self) -> None:
        """Choose which instance restarts."""
        actions.choose_restarts(self.gpu_app)

    def action_gpu(self) -> None:
        """Choose a GPU."""
        actions.choose_gpu(self.gpu_app)

    def action_pause(self) -> None:
        """Freeze, or go on."""
        self.gpu_app.toggle_pause()

    def action_copy_verdict(self) -> None:
        """Copy the verdict."""
        actions.copy_verdict(self.gpu_app)

    def action_demo(self) -> None:
        """Show the demo machine."""
        self.gpu_app.offer_demo()

    def action_help(self) -> None:
        """Help for the focused panel."""
        actions.show_help(self.gpu_app)
