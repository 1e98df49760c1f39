"""A laboratory of real parts on loopback, for the tests, the demo and the benchmark.

Nothing here is needed to run the product, and nothing in the product imports it (but the `demo` command, when called).
"""
