"""Small mistakes made on purpose outside the core, and whether a test finds each: `make mutants`.

changes    the mistakes of one module: mutmut's operators, and one of our own
related    which tests run which function, measured once for each file of tests
trial      one mistake: the tests that run the function, in a process of its own
report     the share that was found in each folder, and what was not, with its place

Why mutmut's operators and not mutmut: it leaves out every decorated function and all that stands outside functions (our
deadlines and bounds do), and has no bound of time and no list of mistakes that change nothing. cosmic-ray starts a
process of pytest for each mistake and runs all tests.
"""
