# The benchmark suite; README.md beside this file tells how each figure is made.

BENCH_LTTNG := $(if $(wildcard /usr/include/lttng/tracepoint.h /usr/include/*/lttng/tracepoint.h),lttng)
BENCH_MESSAGES := $(patsubst %,$(O)/bench/message-%,plain outspan sdt queue $(BENCH_LTTNG))

bench_plain   := -DPOINTS='"tests/bench/points_outspan.h"' -DOUTSPAN_NO_PROBES
bench_outspan := -DPOINTS='"tests/bench/points_outspan.h"'
bench_sdt     := -DPOINTS='"tests/bench/points_sdt.h"'
bench_queue   := -DPOINTS='"tests/bench/points_queue.h"'
bench_lttng   := -DPOINTS='"tests/bench/points_lttng.h"' -DTRACEPOINT_DEFINE -DTRACEPOINT_CREATE_PROBES
bench_queue_LIBS = $(call pkg,sqlite3) -pthread
bench_lttng_LIBS := -llttng-ust -ldl

# One source, one object per variant.
$(O)/obj/bench/message-%.o: tests/bench/message.c | $(PROBE_HEADERS)
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(bench_$*) -MMD -MP -c $< -o $@

$(BENCH_MESSAGES): $(O)/bench/message-%: $(O)/obj/bench/message-%.o
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(bench_$*_LIBS)
$(O)/bench/message-queue: $(O)/obj/tests/bench/queue.o

$(O)/obj/bench/%.bpf.o: tests/bench/%.bpf.c $(wildcard tests/bench/*.h) $(O)/gen/vmlinux.h
	$(call say,BPF,$@)mkdir -p $(@D) && $(CLANG) -O2 -g -Wall -Werror -target bpf -mcpu=v3 \
		-D__TARGET_ARCH_$(ARCH) -I. -I$(O)/gen -idirafter /usr/include/$(shell uname -m)-linux-gnu -c $< -o $@

BENCH_SKELETONS := $(O)/gen/hit.skel.h $(O)/gen/stock.skel.h
$(BENCH_SKELETONS): $(O)/gen/%.skel.h: $(O)/obj/bench/%.bpf.o
	$(call say,GEN,$@)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(O)/bench/hit $(O)/bench/stock: $(O)/bench/%: $(O)/obj/tests/bench/%.o $(call lib,user store probes base)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(USER_LIBS)
$(O)/obj/tests/bench/hit.o: | $(O)/gen/hit.skel.h
$(O)/obj/tests/bench/stock.o: | $(O)/gen/stock.skel.h

# The pipeline's and the store's own programs, where they are.
BENCH_PARTS := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/pipeline.c tests/bench/store.c))
$(BENCH_PARTS): $(O)/bench/%: $(O)/obj/tests/bench/%.o $(call lib,support user store probes base)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(USER_LIBS)

.PHONY: bench bench-programs programs-pubsub
programs-pubsub: $(patsubst probes/pubsub/%.c,$(O)/%,$(PUBSUB_MAINS))
bench-programs: $(BENCH_MESSAGES) $(O)/bench/hit $(O)/bench/stock $(BENCH_PARTS)

bench: ## print figures and ratios (no pass or fail); QUICK=1 in five minutes, BENCH_JSON=FILE
	$(Q)scripts/setup
	$(Q)scripts/setup bench
	$(Q)$(MAKE) --no-print-directory all bench-programs
	$(Q)$(MAKE) --no-print-directory O=$(O)/noprobes CFLAGS='-O2 -g -DOUTSPAN_NO_PROBES' programs-pubsub
	$(Q)tests/bench/bench.py $(O) $(if $(QUICK),--quick) $(if $(BENCH_JSON),--json $(BENCH_JSON))
	$(Q)$(MAKE) --no-print-directory peers-environment
	$(Q)[ ! -x $(O)/peers/venv/bin/python ] || $(O)/peers/venv/bin/python tests/bench/points.py
