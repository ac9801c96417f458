"""How an event meets its log sources: pipelines as data (``rules/pipelines``), and what runs them.

``docs/logsources.md`` has the form. The engine needs only :class:`rules.engine.routing.Sources` of what is made here.
"""

from rules.logsources.clock import seconds_of
from rules.logsources.pipelines import Pipeline, find_pipeline, load_pipelines, shipped
from rules.logsources.reading import LogSources, Reader, Reading, WindowsReader

__all__ = [
    "LogSources",
    "Pipeline",
    "Reader",
    "Reading",
    "WindowsReader",
    "find_pipeline",
    "load_pipelines",
    "seconds_of",
    "shipped",
]
