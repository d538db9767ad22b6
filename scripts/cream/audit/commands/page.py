"""X"""


def add_flags(f):
    pass


def run(s):
    pass
