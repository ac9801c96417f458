"""Releases of Sigma rules brought in by hand (SigmaHQ's, as a folder or zip file): read, judged, chosen, taken, and
taken back. Nothing here reaches for a network, and nothing in a release is trusted."""

from rules.importing.changes import Changes, changes_between
from rules.importing.errors import ImportingError
from rules.importing.manifest import Manifest, ManifestRule
from rules.importing.release import Release, read_release
from rules.importing.selection import Choices, Selection, select
from rules.importing.sources import Received, Source, known_sources
from rules.importing.taken import Imported, selected_files

__all__ = [
    "Changes",
    "Choices",
    "Imported",
    "ImportingError",
    "Manifest",
    "ManifestRule",
    "Received",
    "Release",
    "Selection",
    "Source",
    "changes_between",
    "known_sources",
    "read_release",
    "select",
    "selected_files",
]
