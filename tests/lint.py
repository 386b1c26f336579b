#!/usr/bin/python3
"""What a machine can say about the sources, as `make lint` and as one of the tests.

Form (clang-format), warnings (cppcheck; gcc and clang, which see different things), every header
alone, and the plan of the house: which room may include what, what lies at the top level, how long a
file may be. Prints "file: fault" for each finding and exits 1 if there is any.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = ("pipeline", "model", "io")
TOP_LEVEL = {*FLOORS, "tests", "jobs", "Makefile", "README.md", "LICENSE"}
LONGEST = 600
# Room -> the libraries that may be spelled there, and how they show themselves.
ROOMS = [
    ("MPI", r'#\s*include\s*[<"]mpi\.h|\bMPI_[A-Z]\w+', r"io/comm\.c"),
    ("HDF5", r'#\s*include\s*[<"](hdf5|H5\w*|hdf5_hl)\.h', r"io/(store\w*\.[ch]|checkpoint\.c)"),
    ("DCMTK", r'#\s*include\s*[<"]dcmtk/', r"io/dicom_\w+\.(cpp|hpp)"),
]
# What a floor must not include from the house.
ARROWS = {
    "io": r"(model|pipeline)/",
    "model": r"(pipeline/|io/(?!(status|alloc)\.h))",
    "pipeline": r"tests/",
}
# Inside a floor: the rooms that only their own room, or the named one, may include from.
PRIVATE = [
    (r"model/nn/kernels/(x86|onednn)/", r"model/nn/kernels/"),
    (r"model/nn/kernels/(?!(bf16|cpu|cloned|elementwise)\.h)", r"model/nn/kernels/"),
    (r"model/nn/(op|plan_private)\.h", r"model/nn/"),
    *[(rf"pipeline/{stage}/", rf"pipeline/({stage}|cli)/")
      for stage in ("ingest", "train", "generate", "evaluate", "report")],
    (r"pipeline/cli/", r"pipeline/cli/"),
]
PACKAGES = ["ompi-c", "hdf5", "libcyaml", "jansson", "libpng", "openssl", "openblas"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def repository_files():
    """Paths that git knows or would add; without git all but builds, runs and dot files."""
    git = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         capture_output=True, text=True, check=False)
    if git.returncode == 0:
        names = {n for n in git.stdout.split("\0") if n}
    else:
        names = set()
        for folder, folders, files in os.walk("."):
            folders[:] = [f for f in folders if f not in ("runs", "__pycache__")
                          and not f.startswith((".", "build"))]
            names |= {os.path.relpath(os.path.join(folder, f), ".") for f in files}
    return sorted(n for n in names if os.path.isfile(n))


def check_plan(names):
    for top in sorted({n.split("/")[0] for n in names}):
        if top not in TOP_LEVEL and not top.startswith("."):
            yield f"{top}: does not belong at the top level"
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    for name in names:
        floor = name.split("/")[0]
        if floor not in TOP_LEVEL or name.startswith("tests/golden/"):
            continue
        try:
            lines = pathlib.Path(name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        if len(lines) > LONGEST:
            yield f"{name}: {len(lines)} lines, more than {LONGEST}: two names would say more"
        for number, line in enumerate(lines, 1):
            if unfinished.search(line):
                yield f"{name}:{number}: left unfinished"
        if floor not in FLOORS:
            continue
        if name.endswith((".cpp", ".cc", ".hpp")) and not re.fullmatch(r"io/dicom_\w+\.(cpp|hpp)", name):
            yield f"{name}: C++ lives in io/dicom_* alone"
        code = without_comments("\n".join(lines)).splitlines()
        for number, line in enumerate(code, 1):
            include = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if include and re.match(ARROWS[floor], include[1]):
                yield f"{name}:{number}: {floor} may not include {include[1]}"
            for room, inside in PRIVATE:
                if include and re.match(room, include[1]) and not re.match(inside, name):
                    yield f"{name}:{number}: {include[1]} is for {inside} alone"
            if include and "/" not in include[1]:
                yield f'{name}:{number}: includes are written from the top: "{floor}/..."'
            for library, sign, room in ROOMS:
                if re.search(sign, line) and not re.fullmatch(room, name):
                    yield f"{name}:{number}: {library} is spelled in {room} alone"


def check_circles(names):
    """Files that include each other in a ring."""
    includes = {}
    for name in names:
        if name.split("/")[0] in FLOORS and name.endswith((".c", ".h", ".cpp", ".hpp")):
            text = without_comments(pathlib.Path(name).read_text(encoding="utf-8"))
            includes[name] = sorted(set(re.findall(r'#\s*include\s*"([^"]+)"', text)))
    done = set()

    def walk(name, path):
        if name in path:
            yield " -> ".join(path[path.index(name):] + [name]) + ": include each other in a ring"
        elif name not in done:
            for other in includes.get(name, ()):
                yield from walk(other, path + [name])
            done.add(name)

    for name in sorted(includes):
        yield from walk(name, [])


def without_comments(text):
    """Comments become empty lines; strings are kept (an #include is one)."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return token.sub(lambda m: "\n" * m[0].count("\n") if m[0][0] == "/" else m[0], text)


def tool_tasks(names):
    """(file, command) for every run of a tool; a command that fails or speaks is a finding."""
    flags = subprocess.run(["pkg-config", "--cflags", *PACKAGES], capture_output=True, text=True,
                           check=True).stdout.split()
    # Faults in the headers of packages are not ours.
    flags = [f.replace("-I", "-isystem", 1) if f.startswith("-I") else f for f in flags]
    flags = ["-I.", "-D_GNU_SOURCE", *flags]
    c = ["-std=gnu17", "-fopenmp", *WARNINGS, *flags]
    cxx = ["-std=c++17", *WARNINGS, *flags]
    for name in names:
        if not name.endswith((".c", ".cpp", ".h", ".hpp")):
            continue
        yield name, ["clang-format", "--dry-run", "-Werror", name]
        if name.endswith(".hpp"):
            for compiler in ("g++", "clang++"):
                yield name, [compiler, *cxx, "-fsyntax-only", "-x", "c++", *alone(name)]
            continue
        if name.endswith(".h"):
            for compiler in ("gcc", "clang"):
                yield name, [compiler, *c, "-fsyntax-only", "-x", "c", *alone(name)]
            if 'extern "C"' in pathlib.Path(name).read_text(encoding="utf-8"):
                yield name, ["g++", *cxx, "-fsyntax-only", "-x", "c++", *alone(name)]
            continue
        # gcc finds much only while it optimises.
        gcc = ["g++", *cxx] if name.endswith(".cpp") else ["gcc", *c]
        clang = ["clang++", *cxx] if name.endswith(".cpp") else ["clang", *c]
        yield name, [*gcc, "-O2", "-c", "-o", "/dev/null", name]
        yield name, [*clang, "-fsyntax-only", name]
        # Suppressed: a pointer stored through memcpy looks leaked to it (the sanitizers look for leaks),
        # and it takes every loop for possibly empty.
        yield name, ["cppcheck", "--quiet", "--enable=warning,portability,performance",
                     "--inline-suppr", "--error-exitcode=1", "--max-configs=2", "-I.",
                     "-D_GNU_SOURCE", "--suppress=missingIncludeSystem", "--suppress=memleak",
                     "--suppress=invalidFunctionArg", name]


def alone(header):
    """A translation unit that is this header and nothing else."""
    return ["-include", header, "/dev/null"]


def run(task):
    name, command = task
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and not done.stdout + done.stderr:
        return None
    return f"{name}: {command[0]} says:\n{(done.stdout + done.stderr).rstrip()}"


def main():
    os.chdir(ROOT)
    tools = ["clang-format", "cppcheck", "gcc", "g++", "clang", "clang++", "pkg-config"]
    absent = [t for t in tools if not shutil.which(t)]
    if absent:
        sys.exit(f"lint: these tools are missing: {' '.join(absent)} (make deps installs them)")
    names = repository_files()
    findings = [*check_plan(names), *check_circles(names)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings += [f for f in pool.map(run, tool_tasks(names)) if f]
    for finding in findings:
        print(finding)
    print(f"lint: {len(names)} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
