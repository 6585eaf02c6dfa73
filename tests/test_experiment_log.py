"""`runs/experiment_log/log.md`: what was tried.

A person gives the points; this is what a machine can say about it.
"""

from grader.artifacts.claims import none_of
from grader.artifacts.consistency import faults_of_curve
from grader.artifacts.run import all_runs

LOG = "runs/experiment_log/log.md"
LIMIT = 1 << 18


def test_the_log_names_every_run(submission, for_staff):
    """The log names every submitted run by its folder.

    Asked: problem experiment_log: a document of what was tried.
    """
    log = submission.files.read_text(LOG, LIMIT)
    for_staff("The experiment log", log[:20_000])
    missing = [run.folder for run in all_runs(submission.files) if run.folder.removeprefix("runs/") not in log]
    assert not missing, f"{LOG} does not name {missing[0]} ({len(missing)} such)"


def test_every_run_has_its_curve(submission):
    """Every run has a curve over steps and time that matches its configuration.

    Asked: problem experiment_log: loss curves over steps and wall-clock time.
    """
    submission.files.read_text(LOG, LIMIT)
    for run in all_runs(submission.files):
        none_of(faults_of_curve(run))
