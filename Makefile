# holdfast: `make run` starts the service, `make test` runs the tests. `make help` lists the rest.

JOBS ?= 2
ARGS ?=
TESTED = -DHF_FAULTS=ON -DHF_TESTS=ON

# $(call build,DIRECTORY,CMAKE FLAGS): configures once, then builds what changed.
build = cmake -S . -B $(1) -G Ninja $(2) >$(1).log 2>&1 || { cat $(1).log; rm -f $(1).log; exit 1; }; \
        rm -f $(1).log; ninja -C $(1) -j $(JOBS)

.PHONY: run build demo test test-tsan test-late test-long test-docker bench docs format clean help

run: build ## build and start the service on 127.0.0.1:8080 with its files in ./data
	@exec build/holdfast-server $(ARGS)

build: ## build the release in build/
	@scripts/install-deps
	@$(call build,build,-DCMAKE_BUILD_TYPE=RelWithDebInfo)

demo: build ## kill a collective of agents and its service with -9, and see what is lost (nothing acknowledged)
	@examples/syndicate/demo build

test: ## build with the address and undefined sanitizers and run every test
	@scripts/install-deps --test
	@( $(call build,build-test,-DHF_SANITIZE=ON $(TESTED)) ) || { echo "0 passed, 1 failed"; exit 1; }
	@tests/run build-test

test-tsan: ## the same programs with the thread sanitizer
	@scripts/install-deps --test
	@( $(call build,build-tsan,-DHF_TSAN=ON $(TESTED)) ) || { echo "0 passed, 1 failed"; exit 1; }
	@tests/run --programs-only build-tsan

test-late: ## every test on a machine whose threads and disk are late, for what takes a quick machine for granted
	@scripts/install-deps --test
	@( $(call build,build-late,$(TESTED)) ) || { echo "0 passed, 1 failed"; exit 1; }
	@CK_TIMEOUT_MULTIPLIER=10 tests/run --timeout 3600 --late 1 build-late

test-long: ## every test, with many more rounds of killing the service, of damage, of fuzzing and against the model
	@scripts/install-deps --test
	@( $(call build,build-test,-DHF_SANITIZE=ON $(TESTED)) ) || { echo "0 passed, 1 failed"; exit 1; }
	@HOLDFAST_TEST_CRASH_ROUNDS=50 HOLDFAST_TEST_CORRUPTION_CASES=1000 HOLDFAST_TEST_FUZZ_SECONDS=600 \
		HOLDFAST_TEST_MODEL_STEPS=20000 HOLDFAST_TEST_MODEL_SEED=$$(date +%s) CK_TIMEOUT_MULTIPLIER=10 \
		tests/run --timeout 7200 build-test

test-docker: ## build the image and bring the composition up (root, Debian; needs docker.io and debootstrap)
	@tests/docker/run

bench: ## measure against the targets; QUICK=1 for a short run
	@scripts/install-deps --test
	@$(call build,build-bench,-DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_BENCH=ON)
	@bench/run build-bench

docs: build ## write docs/configuration.md from the table of settings
	@build/holdfast-server config --markdown >docs/configuration.md

format: ## format the C code
	@scripts/install-deps --dev
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove what was built; ./data stays
	@rm -rf build build-*

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18
