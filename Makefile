# Build, check and show ctaug. On a fresh Debian 12 `make demo` or `make check` alone does
# everything: it installs what is missing, builds and runs. `make help` lists the targets.
#
# BUILD=dir builds elsewhere; CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS as usual; SRC="..." restricts the
# library to some files. The flags of packages are asked for while this file is read: targets that
# install therefore call make again for the rest.

BUILD ?= build
CC = gcc
CXX = g++
MAIN = pipeline/cli/main.c
SRC ?= $(filter-out $(MAIN),$(sort $(shell find io model pipeline -name '*.c' -o -name '*.cpp')))

PYTHON = /usr/bin/python3
CORES := $(shell nproc)
MAKE_ALL = $(MAKE) --no-print-directory -j$(CORES)

# openblas-openmp rather than -pthread: one pool of threads, shared with oneDNN and our own loops.
BUILD_PACKAGES = build-essential pkg-config libopenmpi-dev openmpi-bin libhdf5-dev libdcmtk-dev \
    libopenblas-openmp-dev liblapacke-dev libdnnl-dev librandom123-dev libcyaml-dev libyaml-dev libjansson-dev \
    libpng-dev libssl-dev libdeflate-dev libcairo2-dev libopenjp2-7-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) python3-numpy python3-pydicom invesalius-examples
BENCH_PACKAGES = $(BUILD_PACKAGES) python3-torch
BENCH_INGEST_PACKAGES = $(BUILD_PACKAGES) python3-numpy python3-pydicom python3-h5py python3-gdcm \
    dcmtk dcm2niix
LINT_PACKAGES = $(BUILD_PACKAGES) libcmocka-dev python3 clang clang-format cppcheck libomp-dev
CHECK_PACKAGES = $(DEMO_PACKAGES) $(LINT_PACKAGES) python3-h5py python3-scipy dcmtk libopenjp2-tools slurm-wlm munge \
    chromium poppler-utils dicom3tools dcm2niix python3-nibabel

# gcc and clang share libgomp: a second OpenMP run-time would compete for the cores with that of
# oneDNN and OpenBLAS. clang then compiles our own parallel loops as serial ones.
OPENMP := -fopenmp$(if $(findstring clang,$(CC)),=libgomp)
WARN = -Wall -Wextra
CPPFLAGS += -I. -D_GNU_SOURCE \
    $(shell pkg-config --cflags ompi-c hdf5 libcyaml jansson libpng openssl openblas cairo libopenjp2 2>/dev/null)
CFLAGS ?= -O3 -g
CXXFLAGS ?= -O3 -g
# Without errno sqrtf is one instruction and the loops around it vectorise; nothing here reads it.
ALL_CFLAGS = -std=gnu17 $(OPENMP) -ffp-contract=fast -fno-math-errno -MMD -MP $(WARN) $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 -MMD -MP $(WARN) $(CXXFLAGS)
ALL_LDLIBS = $(shell pkg-config --libs hdf5 dcmtk libcyaml jansson libpng zlib openssl libdeflate cairo libopenjp2 openblas lapacke ompi-c 2>/dev/null) \
    -ldnnl -lstdc++ -lm -lpthread $(LDLIBS)

# Open MPI refuses to start as root and to put more ranks than cores on a machine unless told; tests
# and demo do both. Ranks are not bound: ctaug divides the cores among the ranks of a node itself.
# Single-copy transfers need ptrace rights that containers often lack.
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export OMPI_MCA_rmaps_base_oversubscribe = 1
export OMPI_MCA_hwloc_base_binding_policy = none
export OMPI_MCA_btl_vader_single_copy_mechanism = none

OBJ = $(patsubst %,$(BUILD)/%.o,$(SRC))
TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c tests/tool_*.c))

all: $(BUILD)/ctaug ## build the program, build/ctaug (the default)

demo: ## a real head CT to a report: installs what is missing, builds, runs (runs/head)
	@$(MAKE) --no-print-directory deps PACKAGES="$(DEMO_PACKAGES)"
	@$(MAKE_ALL) all
	$(PYTHON) tests/data/cranium_dicom.py runs/head-dicom
	jobs/mpirun.sh -n 2 $(BUILD)/ctaug run jobs/demo-head.yaml
	@echo "The report is $(CURDIR)/runs/head/report/report.html"

check: ## lint and every test: installs what is missing, builds, runs; FILTER=word runs some
	@$(MAKE) --no-print-directory deps PACKAGES="$(CHECK_PACKAGES)"
	@$(MAKE_ALL) all test-programs WARN="$(WARN) -Werror"
	@BUILD=$(BUILD) tests/run.sh $(FILTER)

check-long: ## attacks on whole runs: flipped bits, kills, full disks (tests/long; LONG="kills --seed 1")
	@$(MAKE) --no-print-directory deps PACKAGES="$(CHECK_PACKAGES)"
	@$(MAKE_ALL) all
	@BUILD=$(BUILD) CTAUG=$(BUILD)/ctaug $(PYTHON) tests/long/attacks.py $(LONG)
	@BUILD=$(BUILD) CTAUG=$(BUILD)/ctaug $(PYTHON) tests/test_ingest_stop.py all

lint: ## format, cppcheck, warnings of gcc and clang, headers alone, rules for includes
	@$(MAKE) --no-print-directory deps PACKAGES="$(LINT_PACKAGES)"
	@$(MAKE) --no-print-directory run-lint

asan: ## the C tests under the address and undefined-behaviour sanitizers (build-asan)
	@$(MAKE) --no-print-directory deps PACKAGES="$(CHECK_PACKAGES)"
	@$(MAKE_ALL) BUILD=build-asan CFLAGS="$(SANITIZE)" CXXFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" all test-programs
	@ASAN_OPTIONS=fast_unwind_on_malloc=0 LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 \
	    UBSAN_OPTIONS=print_stacktrace=1 BUILD=build-asan tests/run.sh build-asan/

fuzz: ## libFuzzer on the readers, FUZZ_SECONDS=60 each; FUZZ="ct seg" chooses (build-fuzz)
	@$(MAKE) --no-print-directory deps PACKAGES="$(CHECK_PACKAGES)"
	@$(MAKE_ALL) all
	@$(MAKE_ALL) BUILD=build-fuzz PLAIN=$(BUILD) CC=clang CXX=clang++ SRC="$(FUZZ_SRC)" \
	    CFLAGS="$(SANITIZE) $(COVER)" CXXFLAGS="$(SANITIZE) $(COVER)" \
	    LDFLAGS="$(SANITIZE) -fsanitize-link-c++-runtime" fuzz-programs
	@CTAUG=$(BUILD)/ctaug BUILD=build-fuzz tests/fuzz/run.sh $(FUZZ)

bench: ## speed of this machine: oneDNN, PyTorch, ctaug (wants it quiet; BENCH="--repeat 1 --net R32")
	@$(MAKE) --no-print-directory deps PACKAGES="$(BUILD_PACKAGES) python3"
	@$(MAKE) --no-print-directory deps PACKAGES="$(BENCH_PACKAGES)" || echo "bench: goes on without PyTorch"
	@$(MAKE_ALL) all
	@BUILD=$(BUILD) $(PYTHON) tests/bench/bench.py $(BENCH)

bench-latent: ## training on latents against pixels and against PyTorch (BENCH="--type bf16")
	@$(MAKE) --no-print-directory deps PACKAGES="$(BUILD_PACKAGES) python3"
	@$(MAKE) --no-print-directory deps PACKAGES="$(BENCH_PACKAGES)" || echo "bench: goes on without PyTorch"
	@$(MAKE_ALL) all
	@BUILD=$(BUILD) $(PYTHON) tests/bench/latent.py $(BENCH)

bench-ingest: ## slices a second of ingest beside dcm2niix and pydicom + h5py (BENCH_SLICES=2000)
	@$(MAKE) --no-print-directory deps PACKAGES="$(BENCH_INGEST_PACKAGES)"
	@$(MAKE_ALL) all
	@BUILD=$(BUILD) $(PYTHON) tests/bench/ingest.py

clean: ## remove what was built (runs/ stays)
	rm -rf $(BUILD) build-asan build-fuzz

deps: ## install missing Debian packages (as root or with sudo), or name them
	@tests/deps.sh $(PACKAGES)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

PACKAGES ?= $(CHECK_PACKAGES)
LONG ?= all
SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
COVER = -fsanitize=fuzzer-no-link
# What is fuzzed; what it uses of the model comes from the ordinary build.
FUZZ_SRC = $(filter io/% pipeline/study/%,$(SRC))
FUZZ_PROGRAMS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

test-programs: $(TESTS)

fuzz-programs: $(FUZZ_PROGRAMS)

run-lint:
	@$(PYTHON) tests/lint.py

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

# Its assembler includes them.
$(BUILD)/pipeline/report/assets.c.o: $(wildcard pipeline/report/*.css pipeline/report/*.js)

$(BUILD)/%.cpp.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX $<"
	@$(CXX) $(CPPFLAGS) $(ALL_CXXFLAGS) -c $< -o $@

$(BUILD)/libctaug.a: $(OBJ)
	@echo "  AR $@"
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/ctaug: $(BUILD)/$(MAIN).o $(BUILD)/libctaug.a
	@echo "  LINK $@"
	@$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(ALL_LDLIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.c.o $(BUILD)/libctaug.a
	@echo "  LINK $@"
	@$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ -lcmocka $(ALL_LDLIBS)

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.c.o $(BUILD)/libctaug.a
	@echo "  LINK $@"
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer $^ $(PLAIN)/libctaug.a -o $@ $(ALL_LDLIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all demo check check-long lint asan fuzz bench bench-latent bench-ingest clean deps help test-programs \
    fuzz-programs run-lint
.SECONDARY:
