"""The explorer as a person meets it: a real terminal, the real command, real NVML calls and real processes."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from gpu_tui.bench.demo import DemoServers
from tests.standin import GPU_IS_LOST, HANG, Process, Sleepers, StandIn, known_machine
from tests.test_deploying import lines_of
from tests.tui.terminal import GPU_TUI, Terminal

RIGHT, LEFT = "\x1b[C", "\x1b[D"


def test_the_demo_shows_040_invalid_and_050_valid() -> None:
    with Terminal([*GPU_TUI, "--demo"]) as terminal:
        terminal.wait_for("SIMULATED kloros", "VALID", "444", "judge")
        terminal.press("0.4\r")
        terminal.wait_for("INVALID", "deficit: 1155MB", "0.400")
        terminal.press("0.5\r")
        terminal.wait_for("VALID", "KV cache (444MB)", without=["INVALID"])
        terminal.press("q")
        assert terminal.quit_code(5) == 0


def test_arrows_move_the_slider_and_f_finds_the_way_back() -> None:
    with Terminal([*GPU_TUI, "--demo"], size=(80, 24)) as terminal:
        terminal.wait_for("0.500", "VALID")
        terminal.press(LEFT * 5)
        terminal.wait_for("0.450", "INVALID")
        terminal.press("f")
        terminal.wait_for("0.494", "VALID", without=["INVALID"])


@pytest.mark.timeout(180)
def test_a_run_ends_in_a_plot() -> None:
    settings = {"GPU_TUI_MEASURE_REQUESTS": "4", "GPU_TUI_MEASURE_WARMUP": "1"}
    with Terminal([*GPU_TUI, "--demo"], env=settings) as terminal:
        terminal.wait_for("VALID")
        terminal.press("r")
        terminal.wait_for("Cancel (esc)", timeout_s=30)
        terminal.wait_for("ms by request", "TTFT", "STT latency", "SIMULATED", "the server runs at 0.500", timeout_s=60)
        assert "┤" in terminal.text
        assert "◆" in terminal.text
        terminal.press("q")
        assert terminal.quit_code(5) == 0


@pytest.mark.timeout(180)
def test_escape_cancels_a_run_and_leaves_no_process() -> None:
    with Terminal([*GPU_TUI, "--demo"]) as terminal:
        terminal.wait_for("VALID")
        terminal.press("r")
        terminal.wait_for("Cancel (esc)", timeout_s=30)
        started = psutil.Process(terminal.process.pid).children(recursive=True)
        terminal.press("\x1b")
        terminal.wait_for("Cancelled", timeout_s=10)
        terminal.press("q")
        assert terminal.quit_code(5) == 0
    assert started, "a run has a process of its own"
    _, alive = psutil.wait_procs(started, timeout=3)
    assert alive == []


def test_resizing_and_keys_in_the_middle_of_it() -> None:
    with Terminal([*GPU_TUI, "--demo"], size=(200, 60)) as terminal:
        terminal.wait_for("VALID")
        for columns, rows in [(80, 24), (60, 20), (30, 8), (120, 40), (60, 20), (200, 60)]:
            terminal.resize(columns, rows)
            terminal.press(f"l{RIGHT}{LEFT}")
            terminal.read(0.3)
        terminal.wait_for("VALID", "Production services", "Latency")
        terminal.press("q")
        assert terminal.quit_code(5) == 0


def test_predicting_by_keys_alone_on_a_small_terminal() -> None:
    with Terminal([*GPU_TUI, "--scenario", "predict"], size=(80, 24)) as terminal:
        terminal.wait_for("VALID, STARTS", "▒ too close to call", "Qwen/Qwen3-8B")
        terminal.press("0.73\r")
        terminal.wait_for("TOO CLOSE TO CALL", "max_len_too_long → --gpu-memory-utilization")
        terminal.press("e")
        terminal.wait_for("vLLM would print")
        terminal.resize(120, 40)
        terminal.wait_for("− weights")
        terminal.press("\x1b[F")
        terminal.wait_for("− cuda graphs")
        terminal.press("\x1b")
        terminal.resize(80, 24)
        terminal.wait_for("TOO CLOSE TO CALL", without=["− weights"])
        terminal.press("M")
        terminal.wait_for("Model and flags to plan with", "max-model-len", "Nothing is downloaded")
        for key in ("\t", "\t", "4096"):
            # Keys in one burst reach whoever has the focus when they come in: nobody types that fast.
            terminal.press(key)
            terminal.read(0.3)
        terminal.wait_for("max-model-len 4096")
        terminal.press("\r")
        terminal.wait_for("≈ VALID, TOO CLOSE TO CALL", without=["Model and flags"])
        terminal.press("f")
        terminal.wait_for("VALID, STARTS", without=["INVALID"])
        terminal.press("t")
        terminal.wait_for("What to type", "--max-model-len 4096", "now 8192")
        terminal.press("y")
        terminal.wait_for("Copied")
        copied = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)", terminal.raw)
        assert b"--max-model-len 4096" in base64.b64decode(copied[-1])
        terminal.press("t")
        terminal.wait_for("Checks", without=["What to type"])
        terminal.press("q")
        assert terminal.quit_code(5) == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_deployment_is_watched_by_keys_alone_on_a_small_terminal() -> None:
    with Terminal([*GPU_TUI, "--scenario", "deploy", "--no-journal"], size=(80, 24)) as terminal:
        terminal.wait_for("SIMULATED", "VALID")
        terminal.press("D")
        terminal.wait_for("Deployments of a SIMULATED machine", "No server has started since")
        # The story stops the judge at its tenth second and starts another at its sixteenth.
        terminal.wait_for("▸ process", "HANDS OFF", "Do not start, stop or restart", "pid 6204", timeout_s=60)
        terminal.press("\x1b")
        terminal.wait_for("! HANDS OFF (D)", "D deployment", without=["Deployments of a"])
        terminal.press("q")
        assert terminal.quit_code(5) == 0


COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def test_no_color_means_no_colour_at_all() -> None:
    with Terminal([*GPU_TUI, "--demo"], env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("VALID")
        terminal.press("0.4\r")
        terminal.wait_for("✗ INVALID")
        terminal.press("?")
        terminal.wait_for("Keys")
        assert COLOUR.findall(terminal.raw) == []
    with Terminal([*GPU_TUI, "--scenario", "predict"], env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("✓ VALID, STARTS", "▒")
        terminal.press("0.73\r")
        terminal.wait_for("≈ INVALID, TOO CLOSE TO CALL")
        terminal.press("M")
        terminal.wait_for("Model and flags")
        terminal.press("\x1b")
        terminal.wait_for("Checks", without=["Model and flags"])
        terminal.press("e")
        terminal.wait_for("vLLM would print")
        assert COLOUR.findall(terminal.raw) == []
    with Terminal([*GPU_TUI, "--demo"]) as terminal:
        terminal.wait_for("VALID")
        assert COLOUR.findall(terminal.raw), "the pattern finds colours where there are some"


def check(standin: StandIn, util: str) -> tuple[int, dict[str, object]]:
    argv = [*GPU_TUI, "check", "--util", util, "--json"]
    done = subprocess.run(argv, env=standin.env(), capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def test_live_machine_the_tui_and_check_agree(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with Terminal(GPU_TUI, env=standin.env()) as terminal:
        terminal.wait_for("judge", "kloros", "live", "6134 MiB")
        for util, code in (("0.4", 1), ("0.5", 0), ("0.9", 1)):
            terminal.press(f"{util}\r")
            exit_code, told = check(standin, util)
            assert exit_code == code
            sentence = str(told["reason"]).removeprefix("Valid: ")
            terminal.wait_for(sentence.split(" with persistent")[0][:60], f"{float(util):.3f}")
        assert "SIMULATED" not in terminal.text


@pytest.mark.timeout(180)
def test_a_real_service_is_asked_for_before_it_gets_load(standin: StandIn, sleepers: Sleepers) -> None:
    """Real NVML calls and processes, real HTTP: only the servers' delays are simulated, and they say so."""
    known_machine(standin, sleepers)
    with DemoServers(ttft_ms=20, itl_ms=2, stt_ms=20) as servers:
        where = servers.start()
        settings = {"GPU_TUI_ENDPOINTS_LLM": where.llm, "GPU_TUI_ENDPOINTS_STT": where.stt}
        settings |= {"GPU_TUI_MEASURE_REQUESTS": "3", "GPU_TUI_MEASURE_WARMUP": "1"}
        with Terminal(GPU_TUI, env=standin.env() | settings) as terminal:
            terminal.wait_for("✓ VALID")
            terminal.press("0.6\rr")
            terminal.wait_for("Measure these services?", where.llm, where.stt, "3 streamed chat completions")
            terminal.press("n")
            terminal.wait_for("Nothing was sent")
            terminal.press("r")
            terminal.wait_for("Measure these services?")
            terminal.press("y")
            terminal.wait_for("ms by request", "the server runs at 0.500", "plan was 0.600", timeout_s=60)
            assert "SIMULATED" in terminal.text


@pytest.mark.slow
def test_a_real_server_that_starts_and_dies_is_told_with_its_cause_and_kept(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    known_machine(standin, sleepers)
    log = tmp_path / "vllm.log"
    with Terminal(GPU_TUI, env=standin.env()) as terminal, log.open("w") as file:
        terminal.wait_for("✓ VALID")
        terminal.press("D")
        terminal.wait_for("No server has started since", "judge")
        server = sleepers.vllm("/models/none", 8077, 0.3, 1, log=file.fileno())
        device = standin.state.devices[0]
        device.processes.append(Process(server.engine, 900))
        standin.write()
        terminal.wait_for("vllm:8077", "Do not start, stop or restart kloros", "3686 MiB")
        file.writelines(f"{line}\n" for line in lines_of("v1_0.30_consumed.txt", server)[:4])
        file.flush()
        terminal.wait_for("▸ profiling")
        file.writelines(f"{line}\n" for line in lines_of("failed_0.32_too_long.txt", server)[11:])
        file.flush()
        device.processes = [row for row in device.processes if row.pid != server.engine]
        standin.write()
        sleepers.kill(server.server)
        terminal.wait_for(
            "✗ died", "To serve at least one request", "Give it --max-model-len 640", "Kept as deployment 1"
        )
        terminal.press("h")
        terminal.wait_for("Kept starts", "✗ max_len_too_long")
        terminal.press("\x1b")
        terminal.wait_for("✗ died", without=["Kept starts"])
        terminal.press("\x1b")
        terminal.wait_for("Production services", without=["✗ died"])
        terminal.press("q")
        assert terminal.quit_code(10) == 0


def test_losing_the_gpu_shows_the_state_and_recovers(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with Terminal(GPU_TUI, env=standin.env()) as terminal:
        terminal.wait_for("✓ VALID")
        standin.state.devices[0].error = GPU_IS_LOST
        standin.write()
        terminal.wait_for("? UNKNOWN", "lost")
        terminal.press(RIGHT)
        terminal.wait_for("0.510", "? UNKNOWN")
        standin.state.devices[0].error = 0
        standin.write()
        terminal.wait_for("✓ VALID", timeout_s=60)


def test_a_driver_call_that_never_returns_does_not_keep_q(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    with Terminal(GPU_TUI, env=standin.env()) as terminal:
        terminal.wait_for("✓ VALID")
        standin.state.calls["nvmlDeviceGetMemoryInfo*"] = HANG
        standin.write()
        terminal.wait_for("STALE", timeout_s=20)
        pressed = time.monotonic()
        terminal.press("q")
        assert terminal.quit_code(5) == 0
        assert time.monotonic() - pressed < 2.0, "a second on a machine of its own"


def test_without_a_driver_the_demo_is_offered(standin: StandIn) -> None:
    with Terminal(GPU_TUI, env=standin.env(driver=False)) as terminal:
        terminal.wait_for("? UNKNOWN", "driver", "d shows the built-in demo")
        assert "SIMULATED" not in terminal.text
        terminal.press("d")
        terminal.wait_for("SIMULATED kloros", "✓ VALID")


def test_being_terminated_gives_the_terminal_back() -> None:
    with Terminal([*GPU_TUI, "--demo"]) as terminal:
        terminal.wait_for("VALID")
        terminal.process.terminate()
        assert terminal.quit_code(5) == 0
        assert b"\x1b[?1049l" in terminal.raw, "the alternate screen is left"
