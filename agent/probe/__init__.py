"""The probe: what an agent does for its LAN, each part in a process of its own beside the agent's.

A part is a folder here with a light ``part.py`` that says what it is (:class:`agent.probe.contract.Part`); what it
needs (pysnmp, gufo-snmp, asyncssh…) is imported by its own process alone. ``host.py`` stands in the agent's process: it
starts the parts, hands what they found to the outbox, and starts anew what ended.
"""
