"""Subjects: 49 kinds of people, animals, vehicles and robots, built and animated by our own procedures."""

from outofsight.worlds.subjects.catalogue import SubjectBody, add_subject, animate, subject_catalogue
from outofsight.worlds.subjects.kinds import SubjectKind

__all__ = ["SubjectBody", "SubjectKind", "add_subject", "animate", "subject_catalogue"]
