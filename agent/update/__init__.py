"""Updates of the agent: the running agent fetches a release, a command that root starts verifies and applies it.

The running agent may write its own state directory alone, so it can only bring a release near. What makes one count is
the signature of a key that is kept offline; root's command checks it anew over a copy of its own.
"""
