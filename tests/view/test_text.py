"""What others call themselves reaches the screen visible and bounded, and what they must not show does not reach it."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpu_tui.view.text import MASK, clean, mask_cmdline

# Surrogates included: that is how Python carries bytes that are not UTF-8.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANY_TEXT)
@example("\x1b]0;owned\x07")
@example("\u202egnp.exe")
@example("a\u0300\u0301\u0302\u0303")
def test_nothing_unseen_is_left(text: str) -> None:
    shown = clean(text)
    assert not {unicodedata.category(char) for char in shown} & UNSEEN
    assert shown.isprintable()
    shown.encode("utf-8")


@given(ANY_TEXT, st.integers(1, 40))
def test_the_limit_holds_and_the_cut_is_marked(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    if len(clean(text)) > limit:
        assert shown.endswith("…")


@given(ANY_TEXT, st.none() | st.integers(1, 40))
def test_cleaning_twice_changes_nothing_more(text: str, limit: int | None) -> None:
    assert clean(clean(text, limit), limit) == clean(text, limit)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60))
def test_visible_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\tb\nc\x00", "a␉b␊c␀"),
        ("\x7f\x9b", "␡\\x9b"),
        ("caf\udce9", "caf\\xe9"),
        ("\u200bzero\u2028line", "\\u200bzero\\u2028line"),
        ("a\u00a0b", "a b"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0301alone", "\\u0301alone"),
        ("é\u0301\u0302\u0303", "é\u0301\u0302\\u0303"),
        ("日本語", "日本語"),
    ],
)
def test_how_each_kind_is_shown(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_name_of_many_kib_is_cut() -> None:
    assert clean("x" * 1_000_000, 10) == "xxxxxxxxx…"


SECRET = st.text("abcdefghkmnpqrstuvwxyzABCDEFGH23456789", min_size=8, max_size=30).map(lambda text: f"Zq{text}")
FLAG = st.sampled_from(
    ["--api-key", "--api_key", "--hf-token", "--token", "--client-secret", "--password", "--passwd", "--db-password"]
)
VARIABLE = st.sampled_from(["HF_TOKEN", "OPENAI_API_KEY", "my_secret", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"])
PLAIN = st.lists(st.sampled_from(["vllm", "serve", "--port", "8000", "--model", "org/name", "-v"]), max_size=4)


@given(PLAIN, FLAG, SECRET, PLAIN)
def test_a_secret_after_its_flag_is_masked(before: list[str], flag: str, secret: str, after: list[str]) -> None:
    for argv in (
        [*before, flag, secret, *after],
        [*before, f"{flag}={secret}", *after],
        [*before, "-c", f"vllm serve {flag} {secret} --port 8000", *after],
        [*before, "-c", f"vllm serve {flag}='{secret}' --port 8000", *after],
    ):
        masked = mask_cmdline(argv)
        assert len(masked) == len(argv)
        assert secret not in " ".join(masked)
        assert any(MASK in arg for arg in masked)


@given(VARIABLE, SECRET)
def test_a_secret_in_a_variable_is_masked(variable: str, secret: str) -> None:
    for argv in (
        ["env", f"{variable}={secret}", "vllm"],
        ["docker", "run", "-e", f"{variable}={secret}"],
        ["sh", "-c", f"export {variable}={secret}; vllm serve"],
        ["x", f'{{"{variable}": "{secret}"}}'],
    ):
        assert secret not in " ".join(mask_cmdline(argv))


@pytest.mark.parametrize(
    "argument",
    [
        "sk-abcdefgh12345678",
        "hf_abcdefghijk",
        "ghp_abcdefghijkl",
        "Authorization: Bearer abcdefghijkl",
        "http://user:abcdefgh@host:8000/v1",
        "https://host/v1?api_key=abcdefgh&x=1",
        "eyJhbGciOiJI.abcdefgh.abcdefgh",
    ],
)
def test_well_known_tokens_are_masked_wherever_they_stand(argument: str) -> None:
    shown = mask_cmdline(["serve", argument, f"--x={argument}", f"see {argument} there"])
    assert "abcdefgh" not in " ".join(shown)


def test_several_keys_after_vllms_flag() -> None:
    argv = ["vllm", "serve", "--api-key", "one", "two", "--port", "8000"]
    assert mask_cmdline(argv) == ("vllm", "serve", "--api-key", MASK, MASK, "--port", "8000")


@pytest.mark.parametrize(
    "argv",
    [
        ["vllm", "serve", "Qwen/Qwen2.5-7B-Instruct-AWQ", "--gpu-memory-utilization", "0.50", "--port", "8001"],
        ["--max-num-batched-tokens", "8192", "--max-tokens=100", "--tokenizer", "org/tok", "--tokenizer-mode", "auto"],
        ["--tool-call-parser", "hermes", "--ssl-keyfile", "/etc/key.pem", "--password-file", "/run/pw"],
        ["python", "-m", "kloros_voice", "the secret agent"],
        ["VLLM::EngineCore"],
        [],
    ],
)
def test_what_is_no_secret_stays(argv: list[str]) -> None:
    assert mask_cmdline(argv) == tuple(argv)


@given(st.lists(ANY_TEXT, max_size=5))
def test_no_command_line_is_too_strange(argv: list[str]) -> None:
    assert len(mask_cmdline(argv)) == len(argv)


@pytest.mark.timeout(10)
def test_long_arguments_cost_no_more_than_their_length() -> None:
    mask_cmdline(["token" * 20_000, "a" * 200_000, "token " * 30_000, 'key="' * 50_000, "--" * 100_000, "x=" * 100_000])
