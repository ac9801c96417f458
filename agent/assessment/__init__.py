"""Configuration assessment: whether a machine is set up as it should be, by checks that are data.

``form`` is what a check may say, ``judge`` decides, ``readers`` look at the machine. The checks themselves are written
in ``checks/*.yml`` and travel in the package compiled to JSON without their words, so that an agent needs no YAML.
"""
