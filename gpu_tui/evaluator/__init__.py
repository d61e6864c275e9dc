"""The optimizer's contract: candidates in, judged and measured results out, over a source and a bench it is given."""

from gpu_tui.evaluator.evaluate import Evaluator as Evaluator
from gpu_tui.evaluator.result import Candidate as Candidate
from gpu_tui.evaluator.result import CandidateError as CandidateError
from gpu_tui.evaluator.result import Result as Result
from gpu_tui.evaluator.result import ResultStatus as ResultStatus
from gpu_tui.evaluator.result import parse_candidate as parse_candidate
