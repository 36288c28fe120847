# The peers: real Python packages, in $(O)/peers/venv, which is kept between runs.

.PHONY: peers peers-environment
peers-environment: python
	$(Q)scripts/peers $(O)

peers: all peers-environment ## tests with the real lonelypsc and lonelypss (root, PyPI)
	$(Q)scripts/run-tests $(O) $(sort $(shell find tests/peers -maxdepth 1 -name '*.py' -executable))
