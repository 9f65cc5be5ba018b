# Two commands do all the set-up: make run, make test.

GO      ?= go
CAPTURE ?= testdata/captures/pool-leak.pcap
PCAP_H   = $(firstword $(wildcard /usr/include/pcap.h /usr/include/pcap/pcap.h /usr/local/include/pcap.h \
                                  /opt/homebrew/include/pcap.h))
SUDO     = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: run build test deps offline race fuzz lint lab bench profile clean

# Analyse a capture: the one that ships here, or CAPTURE=file.
run: build
	./lastack $(CAPTURE)

build: deps
	$(GO) build -o lastack ./cmd/lastack

# libpcap's headers and a C compiler, installed where they are missing.
deps:
ifeq ($(PCAP_H),)
	@echo "installing libpcap's headers and a C compiler"
	$(SUDO) apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq libpcap-dev gcc libc6-dev >/dev/null
endif

# All tests that need no root. LASTACK_CORPUS=folder adds real captures.
test: deps
	$(GO) test -pgo=off ./...

# Without cgo: reads files; no live capture, no filters.
offline:
	CGO_ENABLED=0 $(GO) build -o lastack ./cmd/lastack

# -short leaves out the long tests of what one goroutine does alone.
race: deps
	$(GO) test -pgo=off -race -short ./...

lint: deps
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet -pgo=off ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# Each fuzz target for FUZZTIME.
FUZZTIME ?= 10s
fuzz: deps
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -pgo=off -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -pgo=off $$pkg -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
	  done; \
	done

# Real kernels as the judge of every state, in network namespaces of their own.
# It needs root and kernel tracing, and says so where it skips. SHORT=1: a minute.
lab: deps
ifeq ($(shell command -v nft || ls /usr/sbin/nft 2>/dev/null),)
	@[ "$$(id -u)" != 0 ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nftables >/dev/null; }
endif
	$(GO) run ./internal/lab/cmd/lastack-lab run $(if $(SHORT),--short)

# Ratios against other tools, on generated captures.
bench: deps
	$(GO) run ./internal/bench/cmd/lastack-bench

# What the compiler knows of the hot paths, anew: cmd/lastack/default.pgo, which
# every build of the program uses.
profile: deps
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(GO) build -trimpath -pgo=off -o $$dir/lastack ./cmd/lastack && \
	$(GO) build -o $$dir/bench ./internal/bench/cmd/lastack-bench && \
	for c in mix headers concurrent bulk flood; do \
	  $$dir/bench generate --scale 0.3 --out $$dir/pcap $$c && \
	  $$dir/lastack -q --cpu-profile $$dir/$$c.text $$dir/pcap >/dev/null && \
	  $$dir/lastack -q --cpu-profile $$dir/$$c.lines --jsonl $$dir/jsonl $$dir/pcap >/dev/null || exit 1; \
	done && \
	$(GO) tool pprof -proto $$dir/*.text $$dir/*.lines >cmd/lastack/default.pgo

clean:
	rm -f lastack
