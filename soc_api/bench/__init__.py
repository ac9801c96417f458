"""Measurements of the issues' bars, run on purpose (``vonggac bench``): a benchmark is not a test.

One module a subject; each registers measurements by name (:func:`soc_api.bench.registry.benchmark`).
"""
