# The Python package, complete with what is made from the catalogue, in $(O)/python/package; pip builds it from there.

PYTHON_PACKAGE := $(O)/python/package
PYTHON_PARTS := $(patsubst probes/python/%,$(PYTHON_PACKAGE)/%,$(shell find probes/python -type f \
	\( -name '*.py' -o -name '*.toml' -o -name '*.md' -o -name '*.[ch]' -o -name 'py.typed' \))) \
	$(PYTHON_PACKAGE)/src/points.c $(PYTHON_PACKAGE)/src/outspan_lonelypsp/points.pyi \
	$(patsubst $(O)/gen/%,$(PYTHON_PACKAGE)/include/%,$(PROBE_HEADERS))

$(PYTHON_PACKAGE)/src/points.c: probes/catalogue/lonelypsp.yaml $(O)/outspan-generate
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-generate module $< > $@

$(PYTHON_PACKAGE)/src/outspan_lonelypsp/points.pyi: probes/catalogue/lonelypsp.yaml $(O)/outspan-generate
	$(call say,GEN,$@)mkdir -p $(@D) && $(O)/outspan-generate types $< > $@

$(PYTHON_PACKAGE)/include/%: $(O)/gen/%
	$(call say,GEN,$@)mkdir -p $(@D) && cp $< $@

$(PYTHON_PACKAGE)/%: probes/python/%
	$(call say,GEN,$@)mkdir -p $(@D) && cp $< $@

.PHONY: python
python: $(PYTHON_PARTS) ## the Python package, ready for pip, in build/python/package
