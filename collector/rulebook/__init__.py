"""The life of rules while events flow: who wrote and set what, and what the worker made of it."""
