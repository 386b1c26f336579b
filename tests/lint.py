#!/usr/bin/python3
"""Static checks of the sources: `make lint`, and the first of the tests.

Runs clang-format, cppcheck, and gcc and clang for their warnings; compiles every header alone; and
checks the rules of the repository that no tool knows: what a folder may include, what lies at the
top level, how integers are printed, the length of files and of comment lines. Prints "file: fault"
for each finding and exits with 1 if there is any.
"""
import ast
import concurrent.futures
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tokenize

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = ("pipeline", "model", "io")  # from the top down
TOP_LEVEL = {*LAYERS, "tests", "jobs", "Makefile", "README.md", "LICENSE"}
MAX_LINES = 600
MAX_COMMENT_COLUMNS = 100
C_SOURCES = (".c", ".h", ".cpp", ".hpp")
# Integers are printed as int64_t by PRId64 (or PRIu64, PRIx64), without casts.
LONG_LONG = re.compile(r"%[-+ #0]*[\d*]*(\.[\d*]+)?ll[dioux]|\(long long\)")
# An #include of a file of ours that does not begin at the top: the rules below would not see it.
FROM_ELSEWHERE = re.compile(r'\s*#\s*include\s*("(?!(pipeline|model|io)/)|<(pipeline|model|io)/|.*\.\./)')
# Library, a pattern of its use, and the files that may use it.
LIBRARIES = [
    ("MPI", r'#\s*include\s*[<"]mpi\.h|\bMPI_[A-Z]\w+', r"io/comm\.c"),
    ("HDF5", r'#\s*include\s*[<"](hdf5|H5\w*|hdf5_hl)\.h',
     r"io/(store\w*\.[ch]|(checkpoint|record_file)\.c)"),
    ("DCMTK", r'#\s*include\s*[<"]dcmtk/', r"io/dicom_\w+\.(cpp|hpp)"),
    ("Cairo", r'#\s*include\s*[<"](cairo/)?cairo', r"io/pdf\.c"),
    ("OpenJPEG", r'#\s*include\s*[<"](openjpeg[-.\d]*/)?openjpeg', r"io/jpeg2000\.c"),
    ("oneDNN", r'#\s*include\s*[<"](oneapi/)?dnnl', r"model/nn/kernels/onednn/\w+\.[ch]"),
    ("intrinsics", r'#\s*include\s*[<"]\w+intrin\.h', r"model/nn/kernels/x86/\w+\.[ch]"),
    ("CPUID", r"\b__builtin_cpu_(supports|is|init)\b|\bcpuid\.h\b", r"model/nn/kernels/cpu\.c"),
]
# What a layer must not include.
FORBIDDEN = {
    "io": r"(model|pipeline)/",
    "model": r"(pipeline/|io/(?!(status|alloc)\.h))",
    "pipeline": r"tests/",
}
# Within a layer: headers, and the only files that may include them.
PRIVATE = [
    (r"model/nn/kernels/(x86|onednn)/", r"model/nn/kernels/"),
    (r"model/nn/kernels/(?!(bf16|cpu|cloned|elementwise)\.h)", r"model/nn/kernels/"),
    (r"model/nn/(op|plan_private)\.h", r"model/nn/"),
    *[(rf"pipeline/{stage}/", rf"pipeline/({stage}|cli)/")
      for stage in ("ingest", "autoencode", "referee", "text", "train", "distil", "gan", "generate",
                    "evaluate", "gate")],
    (r"pipeline/report/", r"pipeline/(report|sweep|cli)/"),
    (r"pipeline/sweep/", r"pipeline/(sweep|cli)/"),
    (r"pipeline/cli/", r"pipeline/cli/"),
]
PACKAGES = ["ompi-c", "hdf5", "libcyaml", "jansson", "libpng", "openssl", "openblas", "cairo",
            "libopenjp2"]
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


def read_text(name):
    """The text of a file; None if it is not UTF-8."""
    try:
        return pathlib.Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def check_layout(names):
    """Top level, length of files, includes, use of libraries."""
    for top in sorted({n.split("/")[0] for n in names}):
        if top not in TOP_LEVEL and not top.startswith("."):
            yield f"{top}: does not belong at the top level"
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    for name in names:
        layer = name.split("/")[0]
        if layer not in TOP_LEVEL or name.startswith("tests/golden/"):
            continue
        text = read_text(name)
        if text is None:
            continue
        lines = text.splitlines()
        if len(lines) > MAX_LINES:
            yield f"{name}: {len(lines)} lines, more than {MAX_LINES}: divide the file"
        for number, line in enumerate(lines, 1):
            if unfinished.search(line):
                yield f"{name}:{number}: left unfinished"
        if layer in LAYERS:
            yield from check_source(name, layer, text)


def check_source(name, layer, text):
    """The rules for a file of a layer."""
    if name.endswith((".cpp", ".cc", ".hpp")) and not re.fullmatch(r"io/dicom_\w+\.[ch]pp", name):
        yield f"{name}: C++ is for io/dicom_* alone"
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if include and re.match(FORBIDDEN[layer], include[1]):
            yield f"{name}:{number}: {layer} may not include {include[1]}"
        for header, users in PRIVATE:
            if include and re.match(header, include[1]) and not re.match(users, name):
                yield f"{name}:{number}: {include[1]} is for {users} alone"
        if FROM_ELSEWHERE.match(line):
            yield f'{name}:{number}: includes are written from the top: "{layer}/..."'
        if LONG_LONG.search(line):
            yield f"{name}:{number}: integers are printed as int64_t by PRId64, without casts"
        for library, use, users in LIBRARIES:
            if re.search(use, line) and not re.fullmatch(users, name):
                yield f"{name}:{number}: {library} is for {users} alone"


def check_include_cycles(names):
    """Files that include each other in a cycle."""
    includes = {}
    for name in names:
        if name.split("/")[0] in LAYERS and name.endswith(C_SOURCES):
            text = without_comments(pathlib.Path(name).read_text(encoding="utf-8"))
            includes[name] = sorted(set(re.findall(r'#\s*include\s*"([^"]+)"', text)))
    done = set()

    def walk(name, path):
        if name in path:
            yield " -> ".join(path[path.index(name):] + [name]) + ": an include cycle"
        elif name not in done:
            for other in includes.get(name, ()):
                yield from walk(other, path + [name])
            done.add(name)

    for name in sorted(includes):
        yield from walk(name, [])


C_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def without_comments(text):
    """C without its comments, with the same lines. Strings are kept (an #include has one)."""
    return C_TOKEN.sub(lambda m: "\n" * m[0].count("\n") if m[0][0] == "/" else m[0], text)


def comment_lines(name, text):
    """Numbers of the lines that hold comments; in Python also those of docstrings."""
    if name.endswith(C_SOURCES):
        spans = [(text.count("\n", 0, m.start()) + 1, m[0].count("\n"))
                 for m in C_TOKEN.finditer(text) if m[0][0] == "/"]
        return {first + k for first, more in spans for k in range(more + 1)}
    if name.endswith(".py"):
        found = {t.start[0] for t in tokenize.generate_tokens(io.StringIO(text).readline)
                 if t.type == tokenize.COMMENT}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                found |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        return found
    if name.endswith((".sh", ".sbatch", "Makefile")):
        return {k for k, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("#")}
    return set()


def check_comment_width(names):
    for name in names:
        text = read_text(name)
        if text is None:
            continue
        lines = text.splitlines()
        for number in sorted(comment_lines(name, text)):
            if len(lines[number - 1]) > MAX_COMMENT_COLUMNS:
                yield f"{name}:{number}: a comment of more than {MAX_COMMENT_COLUMNS} columns"


def tool_tasks(names):
    """(file, command) for every run of a tool. A command that fails or prints is a finding."""
    flags = subprocess.run(["pkg-config", "--cflags", *PACKAGES], capture_output=True, text=True,
                           check=True).stdout.split()
    # -isystem: no warnings for the headers of packages.
    flags = [f.replace("-I", "-isystem", 1) if f.startswith("-I") else f for f in flags]
    flags = ["-I.", "-D_GNU_SOURCE", *flags]
    c = ["-std=gnu17", "-fopenmp", *WARNINGS, *flags]
    cxx = ["-std=c++17", *WARNINGS, *flags]
    for name in names:
        if not name.endswith(C_SOURCES):
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
        # gcc needs optimization for many of its warnings.
        gcc = ["g++", *cxx] if name.endswith(".cpp") else ["gcc", *c]
        clang = ["clang++", *cxx] if name.endswith(".cpp") else ["clang", *c]
        yield name, [*gcc, "-O2", "-c", "-o", "/dev/null", name]
        yield name, [*clang, "-fsyntax-only", name]
        # Suppressed are false positives: memleak for pointers stored by memcpy (the sanitizers find
        # leaks), invalidFunctionArg because every loop counts as possibly empty.
        yield name, ["cppcheck", "--quiet", "--enable=warning,portability,performance",
                     "--inline-suppr", "--error-exitcode=1", "--max-configs=2", "-I.",
                     "-D_GNU_SOURCE", "--suppress=missingIncludeSystem", "--suppress=memleak",
                     "--suppress=invalidFunctionArg", name]


def alone(header):
    """Compiler arguments for a translation unit of this header alone."""
    return ["-include", header, "/dev/null"]


def run(task):
    name, command = task
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and not done.stdout + done.stderr:
        return None
    return f"{name}: {command[0]}:\n{(done.stdout + done.stderr).rstrip()}"


def main():
    os.chdir(ROOT)
    tools = ["clang-format", "cppcheck", "gcc", "g++", "clang", "clang++", "pkg-config"]
    absent = [t for t in tools if not shutil.which(t)]
    if absent:
        sys.exit(f"lint: these tools are missing: {' '.join(absent)} (make deps installs them)")
    names = repository_files()
    findings = [*check_layout(names), *check_include_cycles(names), *check_comment_width(names)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings += [f for f in pool.map(run, tool_tasks(names)) if f]
    for finding in findings:
        print(finding)
    print(f"lint: {len(names)} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
