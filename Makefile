# One Makefile for everything; `make help` names the targets. Everything made goes to $(O).

O      ?= build
V      ?= 0
SAN    ?=
COVERAGE ?=
PREFIX ?= /usr/local
TO      = $(DESTDIR)$(PREFIX)
CC     ?= gcc
CLANG  ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
ARCH   := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64/arm64/')

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

Q   := $(if $(filter 1,$(V)),,@)
say  = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)';)

WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) -I. -I$(O) -I$(O)/gen $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(if $(COVERAGE),--coverage)
ALL_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN)) $(if $(COVERAGE),--coverage) -Wl,--as-needed $(LDFLAGS)

# ---- floors, lowest first: a library each, linked from the top down -------------------------

base_SRC   := $(wildcard user/base/*.c)
probes_SRC := $(filter-out probes/generate.c,$(wildcard probes/*.c))
store_SRC  := $(wildcard store/*.c)
user_SRC   := $(filter-out user/main.c user/generate.c,$(wildcard user/*.c))
PUBSUB_MAINS := $(patsubst %,probes/pubsub/psp-%.c,broadcaster subscriber notify train)
pubsub_SRC := $(filter-out $(PUBSUB_MAINS),$(wildcard probes/pubsub/*.c))

support_SRC := $(wildcard tests/support/*.c)

FLOORS := base probes store user pubsub support
define floor
$(1)_OBJ := $$(patsubst %.c,$$(O)/obj/%.o,$$($(1)_SRC))
$$(O)/lib/$(1).a: $$($(1)_OBJ)
	$$(call say,AR,$$@)rm -f $$@ && mkdir -p $$(@D) && ar rcs $$@ $$^
endef
$(foreach f,$(FLOORS),$(eval $(call floor,$(f))))

lib  = $(addprefix $(O)/lib/,$(addsuffix .a,$(1)))
pkg  = $(shell pkg-config --libs $(1))
PROBES_LIBS = $(call pkg,yaml-0.1 libcrypto)
STORE_LIBS  = $(call pkg,sqlite3)
USER_LIBS   = $(call pkg,libbpf libelf jansson zlib) $(STORE_LIBS) $(PROBES_LIBS)
PUBSUB_LIBS = $(call pkg,libmicrohttpd libcurl libwebsockets libuv sqlite3 libcrypto jansson libzstd)

# ---- generated: probe headers, vmlinux.h, BPF skeleton ----------------------------------------

CATALOGUES    := $(wildcard probes/catalogue/*.yaml)
OP_HEADERS    := $(patsubst probes/%,$(O)/gen/outspan/%,probes/op.h $(wildcard probes/op_*.h))
PROBE_HEADERS := $(patsubst probes/catalogue/%.yaml,$(O)/gen/outspan/%.h,$(CATALOGUES)) $(OP_HEADERS)
SKELETON      := $(if $(wildcard bpf/outspan.bpf.c),$(O)/gen/outspan.skel.h)

$(O)/outspan-generate: $(O)/obj/probes/generate.o $(call lib,probes base)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PROBES_LIBS)

$(OP_HEADERS): $(O)/gen/outspan/%: probes/%
	$(call say,GEN,$@)mkdir -p $(@D) && cp $< $@

$(O)/gen/outspan/%.h: probes/catalogue/%.yaml $(O)/outspan-generate
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-generate header $< > $@

# One line per catalogue, for user/builtin.c, which lays their texts into the program.
$(O)/gen/builtin.inc: $(CATALOGUES)
	$(call say,GEN,$@)mkdir -p $(@D) && \
		for f in $^; do echo "BUILTIN($$(basename $$f .yaml), \"$$f\")"; done > $@

$(O)/obj/user/builtin.o: $(O)/gen/builtin.inc

$(O)/gen/vmlinux.h:
	$(call say,GEN,$@)mkdir -p $(@D) && $(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@

$(O)/bpf/outspan.bpf.o: bpf/outspan.bpf.c $(wildcard bpf/*.h) $(O)/gen/vmlinux.h
	$(call say,BPF,$@)mkdir -p $(@D) && $(CLANG) -O2 -g -Wall -Werror -target bpf -mcpu=v3 \
		-D__TARGET_ARCH_$(ARCH) -I. -I$(O)/gen -idirafter /usr/include/$(shell uname -m)-linux-gnu -c $< -o $@

$(O)/gen/outspan.skel.h: $(O)/bpf/outspan.bpf.o
	$(call say,GEN,$@)$(BPFTOOL) gen skeleton $< name outspan_bpf > $@

# ---- objects -----------------------------------------------------------------------------------

# (explicit targets: a pattern rule without a recipe adds no prerequisites)
$(user_OBJ) $(O)/obj/user/main.o $(O)/obj/user/generate.o: | $(SKELETON)
$(pubsub_OBJ) $(patsubst %.c,$(O)/obj/%.o,$(PUBSUB_MAINS)): | $(PROBE_HEADERS)
$(patsubst %.c,$(O)/obj/%.o,$(wildcard tests/*/*.c)): | $(PROBE_HEADERS) $(SKELETON)
$(O)/obj/store/sqlite.o: store/schema.sql

$(O)/obj/%.o: %.c
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(EXTRA_$(basename $(notdir $<))) -MMD -MP -c $< -o $@

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)

# ---- programs ----------------------------------------------------------------------------------

PROGRAMS := $(if $(wildcard user/main.c),$(O)/outspan) \
	$(patsubst probes/pubsub/%.c,$(O)/%,$(wildcard $(PUBSUB_MAINS)))

$(O)/outspan: $(O)/obj/user/main.o $(call lib,user store probes base)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(USER_LIBS)

$(O)/psp-%: $(O)/obj/probes/pubsub/psp-%.o $(call lib,pubsub base)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PUBSUB_LIBS)

# ---- pages: of the trace points from the catalogue, of the commands from their tables ------------

DOCS := $(O)/docs/trace-points.md $(O)/docs/outspan-trace-points.7 $(O)/docs/man/outspan.1 \
	$(O)/docs/completion/outspan

$(O)/docs/trace-points.md: probes/catalogue/lonelypsp.yaml $(O)/outspan-generate
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-generate docs $< > $@

$(O)/docs/outspan-trace-points.7: probes/catalogue/lonelypsp.yaml $(O)/outspan-generate
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-generate man $< > $@

$(O)/outspan-manual: $(O)/obj/user/generate.o $(call lib,user store probes base)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(USER_LIBS)

# outspan.1 is written last, behind those of the commands.
$(O)/docs/man/outspan.1: $(O)/outspan-manual
	$(call say,GEN,$@)rm -rf $(@D) && mkdir -p $(@D) && $(O)/outspan-manual pages $(@D)

$(O)/docs/completion/outspan: $(O)/outspan-manual
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-manual completion > $@

.PHONY: all docs help setup demo check unit golden clean format measure install
all: $(PROGRAMS) docs ## build every program and the generated pages

docs: $(DOCS) ## man pages, completion, and the trace points for people

# The headers are for programs with trace points of their own.
install: all ## into PREFIX (/usr/local): programs, man pages, completion, headers; DESTDIR as usual
	$(Q)install -d $(TO)/bin $(TO)/share/man/man1 $(TO)/share/man/man7 $(TO)/include/outspan \
		$(TO)/share/bash-completion/completions
	$(Q)install $(PROGRAMS) $(TO)/bin
	$(Q)install -m 644 $(O)/docs/man/*.1 $(TO)/share/man/man1
	$(Q)install -m 644 $(O)/docs/outspan-trace-points.7 $(TO)/share/man/man7
	$(Q)install -m 644 $(PROBE_HEADERS) $(TO)/include/outspan
	$(Q)install -m 644 $(O)/docs/completion/outspan $(TO)/share/bash-completion/completions

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s'|'
	@echo '  O=DIR where to build, V=1 show commands, SAN=address,undefined, COVERAGE=1'

setup: ## install the Debian packages that are missing
	$(Q)scripts/setup

demo: setup ## one broadcaster, three subscribers, a stitched trace
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo $(O)

check: setup ## build and run every test; last line: N passed, N failed, N skipped
	$(Q)$(MAKE) --no-print-directory all tests peers-environment
	$(Q)$(MAKE) --no-print-directory O=$(O)/san SAN=address,undefined CFLAGS='-O1 -g -DOUTSPAN_CHECKED' unit-programs
	$(Q)scripts/check $(O)

# ---- tests: tests/unit/X.c and tests/golden/X.c are cmocka programs ------------------------------

UNIT_PROGRAMS := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/unit/*.c tests/golden/*.c tests/contract/*.c))
TEST_LIBS = $(USER_LIBS) $(PUBSUB_LIBS) $(call pkg,cmocka)

$(UNIT_PROGRAMS): $(O)/tests/%: $(O)/obj/tests/%.o $(call lib,support pubsub user store probes base)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)

$(O)/tests/unit/pubsub_training $(O)/tests/unit/pubsub_peer_zstd: | $(O)/psp-train

.PHONY: tests unit-programs
unit-programs: $(UNIT_PROGRAMS)
tests: unit-programs $(O)/tests/house

$(O)/tests/house: scripts/check-house
	$(Q)mkdir -p $(@D) && printf '#!/bin/sh\nexec %s %s\n' $(abspath scripts/check-house) $(O) > $@ && chmod +x $@

# ---- fuzz targets: tests/fuzz/X.c, built by clang with its own O; run from the top folder ---------
# A corpus is the folder tests/fuzz/X, or, where inputs are binary, made of the lines of tests/fuzz/X.hex.

FUZZ_PROGRAMS := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/fuzz/*.c))
FUZZ_CORPORA := $(patsubst tests/fuzz/%.hex,$(O)/corpus/%,$(wildcard tests/fuzz/*.hex))

$(FUZZ_PROGRAMS): $(O)/tests/%: $(O)/obj/tests/%.o $(call lib,pubsub user probes base)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(TEST_LIBS)

$(FUZZ_CORPORA): $(O)/corpus/%: tests/fuzz/%.hex scripts/fuzz-seeds
	$(call say,GEN,$@)rm -rf $@ && scripts/fuzz-seeds $< $@

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS) $(FUZZ_CORPORA)
fuzz: ## build the fuzz targets and corpora (build/fuzz/tests/fuzz/*, build/fuzz/corpus/*)
	$(Q)$(MAKE) --no-print-directory O=$(O)/fuzz CC=$(CLANG) CFLAGS='-O1 -g -DOUTSPAN_CHECKED' \
		SAN=fuzzer-no-link,address,undefined fuzz-programs

unit: unit-programs ## unit, golden and contract tests (no root)
	$(Q)scripts/run-tests $(O) $(UNIT_PROGRAMS)

golden-update: $(O)/tests/golden/golden ## rewrite the expected span trees (review the diff)
	$(Q)GOLDEN_UPDATE=1 $<

include tests/bench/rules.mk

format: ## rewrite the sources with clang-format
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

measure: ## print the size table of the sources
	$(Q)scripts/measure

clean: ## remove what was built
	$(Q)rm -rf $(O)

include probes/python/rules.mk
include tests/peers/rules.mk
-include $(wildcard tests/probes/rules.mk)
