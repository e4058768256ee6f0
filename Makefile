# `make demo` and `make test` do all their own set-up on Debian or Ubuntu with Rust.
.PHONY: demo test test-full test-bare tools lint

# Packs a monorepo of three languages and shows what came out.
demo:
	@tests/setup demo
	@tests/demo

# Unit tests, the command line's transcripts, real packages with real tools.
test: tools
	cargo test --locked

# Also what takes longer: the install steps in a bare Debian.
test-full: test test-bare

# `make demo` and `make test` from a clean clone in a bare Debian root with nothing but Rust.
test-bare:
	tests/bare-root

tools:
	@tests/setup test

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
