"""Settings: built-in defaults < TOML file < environment < flags, each value with where it came from.

Leaves are checked by hand rather than decoded by a library: a mistake must name file, key, what was found and what is
allowed, and `gpu-tui check` has no 15 ms to spare for the library's import.
"""

from gpu_tui.config.keys import KEYS as KEYS
from gpu_tui.config.load import default_path as default_path
from gpu_tui.config.load import load as load
from gpu_tui.config.settings import AlertingSettings as AlertingSettings
from gpu_tui.config.settings import EndpointSettings as EndpointSettings
from gpu_tui.config.settings import EvaluatorSettings as EvaluatorSettings
from gpu_tui.config.settings import MeasureSettings as MeasureSettings
from gpu_tui.config.settings import ModelSettings as ModelSettings
from gpu_tui.config.settings import Settings as Settings
from gpu_tui.config.settings import ValueOrigin as ValueOrigin
