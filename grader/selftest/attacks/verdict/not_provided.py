"""Withdraws the adapter once it has been asked."""

from grader_worker.exceptions import NotProvided
from honest.adapters import *


def run_softmax(in_features, dim):
    raise NotProvided("the submission has no adapter run_softmax")
