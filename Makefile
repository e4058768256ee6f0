# `make demo` and `make test` do all their own set-up on Debian or Ubuntu with Rust.
.PHONY: demo test bench test-full test-corpus test-sam test-bare test-large test-fuzz tools lint

# Packs a monorepo of three languages and shows what came out.
demo:
	@tests/setup demo
	@tests/demo

# Unit tests, the command line's transcripts, real packages with real tools.
test: tools
	cargo test --locked

# Side by side with what people use today; prints the table that ratios are quoted from. Takes about 20 minutes.
bench:
	@tests/setup bench
	cargo build --release --locked
	benches/run

# Also what takes longer: dozens of real packages against the installers, and the install steps in a bare Debian.
test-full: test test-corpus test-sam test-bare test-fuzz

# What is packed of popular packages is what uv and npm would install for the target.
test-corpus: tools
	@tests/setup corpus
	cargo test --locked --features corpus --test corpus -- --nocapture
	cargo test --locked --features corpus --test invoke corpus -- --nocapture

# What becomes of thirty templates, beside what `sam build` and `sam package` make of them.
test-sam: tools
	@tests/setup bench
	cargo build --locked
	tests/compare-sam

# `make demo` and `make test` from a clean clone in a bare Debian root with nothing but Rust.
test-bare:
	tests/bare-root

# An image of 9 GB of generated files: says how long it takes, and fails above 200 MB of memory. Needs 40 GB below TMPDIR.
test-large: tools
	cargo build --release --locked
	tests/large

# Every fuzz target for half a minute. Needs a nightly toolchain and cargo-fuzz.
test-fuzz:
	@cargo +nightly fuzz --version >/dev/null || { echo "rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	cd fuzz && for target in fuzz_targets/*.rs; do \
	  cargo +nightly fuzz run "$$(basename $$target .rs)" -- -max_total_time=30 -rss_limit_mb=4000 || exit 1; done

tools:
	@tests/setup test

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
