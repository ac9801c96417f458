"""Devices that carry no agent, asked by SSH with stated read-only commands: who they are, and what is configured."""
