# SPDX-License-Identifier: MIT
# Builds everything into build/. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += -rR --no-print-directory -j$(shell nproc)
export LC_ALL := C.UTF-8

VERSION := 0.1.0
B := build
PREFIX := /usr/local

all:

# ---- Set-up: packages and cache, once, and again when its script changes ------------------------

ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),all)),)
include $(B)/setup.mk
ifneq ($(words $(wildcard $(SETUP_PARTS))),$(words $(SETUP_PARTS)))
$(B)/setup.mk: FORCE # a part of the cache has gone
endif
endif

$(B)/setup.mk: tools/setup.sh $(wildcard qemu-device/headers.sh)
	@mkdir -p $(B)
	@tools/setup.sh $@

FORCE:
.PHONY: FORCE all

# ---- Flags ------------------------------------------------------------------------------------

CC := gcc
LIB_CFLAGS = $(shell pkg-config --cflags libdrm jansson)
LIB_LIBS = $(shell pkg-config --libs libdrm jansson) -lm
GLIB_CFLAGS = $(shell pkg-config --cflags glib-2.0)
WARN := -Wall -Wextra
INCLUDE := -Ilibq35/include -Ilibq35/kernels -Idriver -Idriver/uapi
# No contraction: the order of operations and the use of FMA are part of the number format.
NUMERIC := -ffp-contract=off
CFLAGS = -std=gnu11 -O3 -g $(NUMERIC) $(WARN) $(INCLUDE) -isystem $(KSELFTEST) $(LIB_CFLAGS) -pthread
SANITIZE := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
DEPEND = -MMD -MP
QUIET := @
say = @printf '  %-6s %s\n' '$(1)' '$(2)'

# $(call objects,DIRECTORY,SOURCES)
objects = $(patsubst %.c,$(B)/$(1)/%.o,$(2))
programs = $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/$(1)/*.c))

$(B)/obj/%.o: %.c Makefile $(B)/setup.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(QUIET)$(CC) $(CFLAGS) -fPIC -fvisibility=hidden $(FLAGS) $(DEPEND) -c $< -o $@

$(B)/asan/%.o: %.c Makefile $(B)/setup.mk
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CFLAGS) $(SANITIZE) $(FLAGS) $(DEPEND) -c $< -o $@

# ---- libq35 -----------------------------------------------------------------------------------

KERNEL_SOURCES := $(wildcard libq35/kernels/*.c)
LIB_SOURCES := $(wildcard libq35/src/*.c) $(KERNEL_SOURCES)
LIB_MAP := $(wildcard libq35/libq35.map)
KERNEL_OBJECTS := $(call objects,obj,$(KERNEL_SOURCES))
LIB_OBJECTS := $(call objects,obj,$(LIB_SOURCES))

$(B)/libq35.so.0: $(LIB_OBJECTS) $(LIB_MAP)
	$(call say,LD,$@)
	$(QUIET)$(CC) -shared -pthread -Wl,-soname,libq35.so.0 -Wl,-z,now -Wl,--no-undefined \
		$(addprefix -Wl$(comma)--version-script=,$(LIB_MAP)) $(LIB_OBJECTS) -o $@ $(LIB_LIBS)
	$(QUIET)ln -sf libq35.so.0 $(B)/libq35.so

$(B)/libq35.a: $(LIB_OBJECTS)
	$(QUIET)rm -f $@; ar rcs $@ $^

$(B)/asan/libq35.a: $(call objects,asan,$(LIB_SOURCES))
	$(QUIET)rm -f $@; ar rcs $@ $^

comma := ,

# ---- The command and the example: linked as an application would --------------------------------

# $(call link_shared,OBJECTS,PROGRAM,WAY FROM IT TO THE LIBRARY)
link_shared = $(CC) $(1) -o $(2) -L$(B) -l:libq35.so.0 '-Wl,-rpath,$$ORIGIN$(3)' -pthread -lm

COMMAND_SOURCES := $(wildcard tools/q35/*.c)
# The library exports neither its threads nor how it writes files.
COMMAND_OBJECTS := $(call objects,obj,$(COMMAND_SOURCES) libq35/src/threads.c libq35/src/output.c)
COMMAND_LIBS = $(shell pkg-config --libs jansson)
$(call objects,obj,$(COMMAND_SOURCES)): \
	FLAGS = -Itools/q35 -Ilibq35/src -DQ35_VERSION='"$(VERSION)"'
$(B)/q35: $(COMMAND_OBJECTS) $(B)/libq35.so.0
	$(call say,LD,$@)
	$(QUIET)$(call link_shared,$(COMMAND_OBJECTS),$@) $(COMMAND_LIBS)

$(B)/example: $(call objects,obj,libq35/example.c) $(B)/libq35.so.0
	$(QUIET)$(call link_shared,$(filter %.o,$^),$@)

# ---- The card ---------------------------------------------------------------------------------

ASIC_SOURCES := $(wildcard qemu-device/asic/*.c)
ASIC_OBJECTS := $(call objects,obj,$(ASIC_SOURCES))
$(ASIC_OBJECTS): FLAGS = -Iqemu-device/asic
$(call objects,asan,$(ASIC_SOURCES)): FLAGS = -Iqemu-device/asic

SHELL_OBJECTS := $(call objects,obj,$(wildcard qemu-device/*.c))
$(SHELL_OBJECTS): FLAGS = -Iqemu-device/asic -isystem $(QEMU_TREE) -isystem $(QEMU_TREE)/include \
	$(GLIB_CFLAGS) -Wno-sign-compare -Wno-unused-parameter -Wno-missing-field-initializers
$(B)/q35-accel.so: $(SHELL_OBJECTS) $(ASIC_OBJECTS) $(KERNEL_OBJECTS)
	$(call say,LD,$@)
	$(QUIET)$(CC) -shared -pthread -Wl,-z,now $^ -o $@ -lm

# ---- Benchmarks -------------------------------------------------------------------------------

BENCH_OBJECTS := $(call objects,obj,$(wildcard tools/bench/*.c))
$(BENCH_OBJECTS): FLAGS = -Ilibq35/src -Iqemu-device/asic -Itools/q35
$(B)/q35-bench: $(BENCH_OBJECTS) $(call objects,obj,tools/q35/order.c) $(ASIC_OBJECTS) $(B)/libq35.a
	$(call say,LD,$@)
	$(QUIET)$(CC) -pthread $^ -o $@ $(LIB_LIBS)

$(B)/vm/latency: $(call objects,obj,tools/bench/guest/latency.c)
	@mkdir -p $(@D)
	$(QUIET)$(CC) -pthread $^ -o $@ $(LIB_LIBS)
$(call objects,obj,tools/bench/guest/latency.c): FLAGS = -Itests/selftests

bench: guest $(B)/q35-bench $(B)/vm/latency
	@Q35_BUILD=$(abspath $(B)) tools/bench/run.sh

$(B)/figures-data: $(call objects,obj,tools/figures/data.c) $(B)/libq35.a
	$(QUIET)$(CC) -pthread $^ -o $@ $(LIB_LIBS)

figures: $(B)/figures-data
	@tools/setup.sh --bench
	@Q35_BUILD=$(abspath $(B)) tools/figures/figures.sh

# ---- The driver: Kbuild on a tree of links, which all kernels can build elsewhere than here ----

DRIVER_SOURCES := $(wildcard driver/*.c)
DRIVER_FILES := Kbuild $(DRIVER_SOURCES) $(wildcard driver/*.h driver/uapi/drm/*.h driver/tests/*)
KBUILD = $(MAKE) -C $(KERNEL_ROOT)/lib/modules/$(KERNEL_RELEASE)/build M=$(abspath $(K))/kmod
KBUILD += $(MODULE_FLAGS)

# Where all is that is made for one kernel: Debian's, or that of check-sanitizers.
K := $(B)

$(K)/q35.ko: $(DRIVER_FILES) $(B)/setup.mk
	$(call say,KBUILD,$@)
	@mkdir -p $(K)/kmod
	@find $(K)/kmod -xtype l -delete
	@cp -rsf $(CURDIR)/Kbuild $(CURDIR)/driver $(K)/kmod/
	$(QUIET)+env -u MAKEFLAGS $(KBUILD) -j$$(nproc) -s modules
	@cp $(K)/kmod/q35.ko $@

# ---- The guest --------------------------------------------------------------------------------

$(B)/vm/leave: tools/vm/leave.c
	@mkdir -p $(@D)
	$(QUIET)$(CC) -O2 -static $< -o $@

$(K)/vm/modules/load: $(K)/q35.ko tools/vm/modules.sh
	@mkdir -p $(K)/vm
	@tools/vm/modules.sh $(KERNEL_ROOT) $(KERNEL_RELEASE) $(K)/q35.ko $(@D) vgem

guest: all $(B)/vm/leave $(if $(DRIVER_SOURCES),$(K)/vm/modules/load)

run: guest
	@tools/run.sh $(shell echo $$PPID)

vm: guest
	@tools/vm/run.sh -i

# ---- Tests ------------------------------------------------------------------------------------

UNIT := $(call programs,unit)
DEVICE_TESTS := $(call programs,device)
ASAN_TESTS := $(patsubst $(B)/tests/%,$(B)/asan/bin/%,$(UNIT) $(DEVICE_TESTS))

TEST_FLAGS = -Itests -Ilibq35/src -Itools/q35 -Iqemu-device/asic
$(foreach v,obj asan,$(call objects,$(v),$(wildcard tests/unit/*.c tests/device/*.c))): \
	FLAGS = $(TEST_FLAGS)

$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(B)/libq35.a
	@mkdir -p $(@D)
	$(QUIET)$(CC) -pthread $^ -o $@ $(LIB_LIBS)

$(B)/tests/device/%: $(B)/obj/tests/device/%.o $(ASIC_OBJECTS) $(KERNEL_OBJECTS)
	@mkdir -p $(@D)
	$(QUIET)$(CC) -pthread $^ -o $@ -lm

$(B)/asan/bin/unit/%: $(B)/asan/tests/unit/%.o $(B)/asan/libq35.a
	@mkdir -p $(@D)
	$(QUIET)$(CC) -pthread $(SANITIZE) $^ -o $@ $(LIB_LIBS)

$(B)/asan/bin/device/%: $(B)/asan/tests/device/%.o $(call objects,asan,$(ASIC_SOURCES) $(KERNEL_SOURCES))
	@mkdir -p $(@D)
	$(QUIET)$(CC) -pthread $(SANITIZE) $^ -o $@ -lm

# The kernel's own framework builds and installs the selftests. It wants them in its tree, so it gets
# a copy of that.
KSFT := $(abspath $(B))/kselftest
SELFTESTS := $(wildcard tests/selftests/*)
$(B)/kselftest/install/run_kselftest.sh: $(SELFTESTS) $(B)/libq35.so.0 $(wildcard libq35/include/*.h) \
		driver/q35_hw.h driver/uapi/drm/q35_accel.h $(B)/setup.mk
	$(call say,KSFT,$(@D))
	@rm -rf $(KSFT)
	@mkdir -p $(KSFT)/obj
	@cp -r $(abspath $(KSELFTEST)/../../..) $(KSFT)/tree
	@ln -s $(CURDIR)/tests/selftests $(KSFT)/tree/tools/testing/selftests/q35
	$(QUIET)env -u MAKEFLAGS -u MAKELEVEL $(MAKE) -s -j$$(nproc) -C $(KSFT)/tree/tools/testing/selftests \
		TARGETS=q35 KSFT_DIR=$(KSFT)/tree/tools/testing/selftests FORCE_TARGETS=1 \
		KSFT_INSTALL_PATH=$(KSFT)/install O=$(KSFT)/obj Q35_BUILD=$(abspath $(B)) install \
		>$(KSFT)/log 2>&1 || { cat $(KSFT)/log; exit 1; }
	@test -s $(KSFT)/install/kselftest-list.txt || { echo 'no selftests were installed'; exit 1; }

check: guest tests asan $(B)/kselftest/install/run_kselftest.sh
	@tests/run.sh

# What check does in guests, with a kernel that looks for defects; KERNEL=7: the newest one.
KERNEL := 6.12
sanitizers: FORCE
	@mkdir -p $(B)/sanitizers-$(KERNEL)
	@tools/vm/sanitizers.sh $(KERNEL) $(B)/sanitizers-$(KERNEL)/setup.mk
	@env -u MAKEFLAGS $(MAKE) --no-print-directory K=$(B)/sanitizers-$(KERNEL) MODULE_FLAGS=W=1e \
		$$(sed -n 's/ := /=/p' $(B)/sanitizers-$(KERNEL)/setup.mk) \
		guest $(B)/kselftest/install/run_kselftest.sh

check-sanitizers: sanitizers
	@Q35_KERNEL=$(CURDIR)/$(B)/sanitizers-$(KERNEL) tests/run.sh

# The kernel selftests with the driver as clang compiles it, for the kernel that gcc has compiled.
check-clang: FORCE
	@tools/setup.sh --lint
	@mkdir -p $(B)/clang
	@cp $(B)/setup.mk $(B)/clang/
	@env -u MAKEFLAGS $(MAKE) --no-print-directory K=$(B)/clang MODULE_FLAGS=CC=$(CURDIR)/tools/clang \
		guest $(B)/kselftest/install/run_kselftest.sh 2>$(B)/clang/log || { cat $(B)/clang/log; exit 1; }
	@Q35_KERNEL=$(CURDIR)/$(B)/clang tests/run.sh card

# The card as a part of QEMU's source tree, built with sanitizers and libFuzzer.
check-in-tree: tests
	@tools/setup.sh --in-tree
	@qemu-device/in-tree.sh $(QEMU_TREE:include-tree=orig.tar.xz) $(QEMU_TREE:include-tree=in-tree)
	@tests/in-tree.sh $(QEMU_TREE:include-tree=in-tree)/build

# ---- Everything -------------------------------------------------------------------------------

# A part is built once it has sources.
all: $(if $(LIB_SOURCES),$(B)/libq35.so.0 $(B)/libq35.a) $(if $(COMMAND_SOURCES),$(B)/q35) \
	$(if $(wildcard libq35/example.c),$(B)/example) \
	$(if $(BENCH_OBJECTS),$(B)/q35-bench) \
	$(if $(wildcard qemu-device/q35-accel.c),$(B)/q35-accel.so) \
	$(if $(DRIVER_SOURCES),$(K)/q35.ko)

tests: $(UNIT) $(DEVICE_TESTS)
asan: $(ASAN_TESTS)

lint: $(B)/setup.mk
	@tools/setup.sh --lint
	@tools/lint.sh

# Formats as `make lint` wants it.
format: $(B)/setup.mk
	@tools/setup.sh --lint
	@tools/lint.sh reformat

install: all
	install -d $(DESTDIR)$(PREFIX)/{bin,lib/pkgconfig,include,libexec}
	install -m 755 $(B)/libq35.so.0 $(DESTDIR)$(PREFIX)/lib
	ln -sf libq35.so.0 $(DESTDIR)$(PREFIX)/lib/libq35.so
	install -m 644 $(B)/libq35.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 libq35/include/*.h $(DESTDIR)$(PREFIX)/include
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
		libq35/q35.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/q35.pc
	$(call link_shared,$(COMMAND_OBJECTS),$(DESTDIR)$(PREFIX)/bin/q35,/../lib) $(COMMAND_LIBS)
	install -m 755 $(B)/q35-bench $(DESTDIR)$(PREFIX)/libexec

clean:
	rm -rf $(B)

help:
	@echo 'make            build everything into build/'
	@echo 'make run        quantize a model, generate text with it on the card in a guest'
	@echo 'make check      all tests, on the host and in a guest; what CI runs'
	@echo 'make check-sanitizers   those in a guest, with a kernel built to find defects; CI as well'
	@echo 'make check-clang        the kernel selftests, the driver compiled by clang'
	@echo 'make check-in-tree      the card built into QEMU, with sanitizers; fuzzed for a while'
	@echo 'make vm         a shell in a guest with the card and everything loaded'
	@echo 'make bench      quality and speed beside their peers, into build/bench/: report.md, JSON'
	@echo 'make figures    draws what make bench has measured, into build/figures/: SVG, PDF'
	@echo 'make lint       static checks'
	@echo 'make format     clang-format on what make lint checks'
	@echo 'make install    libq35, headers and the q35 command to $$DESTDIR$$PREFIX'
	@echo 'make clean      remove build/; the cache in ~/.cache/q35 stays'

.PHONY: guest run vm check sanitizers check-sanitizers check-clang check-in-tree bench figures lint format install tests asan clean help

-include $(shell find $(B) -name '*.d' 2>/dev/null)
