"""Enrolment tokens: who may bring a machine in, to which agency."""
