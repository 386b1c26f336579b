#!/usr/bin/python3
"""The archives of ../shared/cases, which is no part of the repository: each must be taken as its
expect.json says, on one rank and on two."""
import os
import subprocess
import sys
import tempfile

import chain

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "cases")


def main():
    if not os.path.exists(os.path.join(CASES, "check_cases.py")):
        print("no ../shared/cases beside the checkout")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="ctaug-cases-") as place:
        made = os.path.join(place, "cases")
        subprocess.run([sys.executable, os.path.join(CASES, "make_cases.py"), made], check=True,
                       stdout=subprocess.DEVNULL, timeout=280)
        assert len(os.listdir(made)) >= 36, os.listdir(made)
        # All of them on one rank, those with several series or masks on two.
        for ranks, only in ((1, ""), (2, "seg"), (2, "patient"), (2, "two")):
            check = [sys.executable, os.path.join(CASES, "check_cases.py"), chain.CTAUG, made,
                     "--ranks", str(ranks), "--only", only]
            done = subprocess.run(check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=280)
            print(done.stdout)
            assert done.returncode == 0 and " 0 failed" in done.stdout


if __name__ == "__main__":
    main()
