"""Rules over stored events: SQL from a rule's condition. Knows the form of the events table, nothing else of the store.

:mod:`rules.history.plan` is where to begin.
"""
