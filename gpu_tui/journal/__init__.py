"""What was measured, kept in SQLite: every run with its machine, services, utilization, load, figures and samples.

Importing it loads sqlite3, which commands that keep nothing need not pay for: import it where it is used.
"""

from __future__ import annotations

from gpu_tui.config.places import journal_file
from gpu_tui.journal.faults import JournalError as JournalError
from gpu_tui.journal.faults import JournalRefused as JournalRefused
from gpu_tui.journal.faults import UnknownRun as UnknownRun
from gpu_tui.journal.records import KINDS as KINDS
from gpu_tui.journal.records import Entry as Entry
from gpu_tui.journal.records import Run as Run
from gpu_tui.journal.records import Sample as Sample
from gpu_tui.journal.records import StoredRun as StoredRun
from gpu_tui.journal.store import Journal as Journal

default_path = journal_file
