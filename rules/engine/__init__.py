"""The Sigma engine: pySigma parses, this package matches, correlates and routes.

``Engine(paths)`` loads rules (files or folders; a ``str`` is YAML text), ``Engine.process(event)`` gives the findings
of one event. A broken rule is in ``Engine.unsupported`` with its reason; the others go on.
"""

from rules.engine.engine import Engine
from rules.engine.errors import Refusal, RuleError
from rules.engine.events import Event, Finding

__all__ = ["Engine", "Event", "Finding", "Refusal", "RuleError"]
