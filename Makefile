# Squall. `make demo` and `make test` need root, git, make, gcc and Go 1.26, and
# build no tools; `make check` builds the pinned ones in .tools when it must.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO ?= go
ROUNDS ?= 20
FUZZTIME ?= 20s
BENCH ?= .
GEN := $(GO) tool -modfile=.tools/gen/go.mod
BUF := $(GO) tool -modfile=.tools/buf/go.mod buf
BUFYAML := --config .tools/buf/buf.yaml
LINT := $(GO) tool -modfile=.tools/lint/go.mod golangci-lint
# Packages whose promises are about goroutines: they run under the race detector.
RACE := ./agent ./agent/process ./agent/session ./agent/step ./agent/undo ./server/... ./proto/clock ./proto/probe

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/squall
	$(GO) build -trimpath -o bin/squall ./cli

demo: build ## lose a zone of the lab, watch the shop go on, get the verdict (root)
	bin/squall lab run zone-loss

test: build vet unit race ## build, vet, import rules, unit, simulation, real kernel, race

vet:
	$(GO) vet ./...

# What meets the real kernel goes one package at a time: it measures instants.
unit:
	$(GO) test -timeout=25m $(TESTFLAGS) ./experiments/... ./proto/... ./server/...
	$(GO) test -p=1 -timeout=25m $(TESTFLAGS) ./agent/... ./cli/...

race: ## the concurrent packages under the race detector
	$(GO) test -race -short -timeout=25m $(TESTFLAGS) $(RACE)

sim: ## the whole cluster in one bubble, at length
	$(GO) test -count=1 -v ./server/sim

sweep: build ## kill and stop the agent everywhere, ROUNDS random rounds (root)
	$(GO) test -count=1 -v -timeout=60m ./agent/sweep -sweep.rounds=$(ROUNDS)

bench: build ## every figure of docs/performance.md with its baseline, in one run of half an hour (root)
	@$(GO) test -run='^$$' -bench='$(BENCH)' -benchtime=1x -count=1 -timeout=90m ./cli/bench 2>&1 | grep --line-buffered -E '^(bench:|--- |FAIL|    )'

fuzz: ## each decoder for FUZZTIME
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | cut -c6-); do \
	    echo "$$p $$f"; $(GO) test -run='^$$' -fuzz="^$$f\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=5x $$p; done; done

cover: ## coverage by package
	$(GO) test -cover ./...

proto: ## generate from the protos
	$(BUF) format -w $(BUFYAML)
	$(BUF) lint $(BUFYAML)
	$(BUF) generate $(BUFYAML) --template .tools/buf/buf.gen.yaml
	$(BUF) build proto $(BUFYAML) --as-file-descriptor-set --exclude-imports -o experiments/descriptor.binpb
	@.tools/generated write proto

bpf: ## compile the BPF programs (clang, libbpf-dev)
	agent/host/bpf/generate.sh
	@.tools/generated write bpf

lint:
	$(LINT) run ./...

fmt: ## format
	$(GEN) gofumpt -l -w agent cli experiments proto server

rules: ## try the alert rules in docs with promtool (Debian: prometheus)
	@if command -v promtool; then promtool check rules docs/alerts.yaml; promtool test rules docs/alerts_test.yaml; \
	elif [ "$${CI:-}" = true ]; then echo "promtool is not installed (Debian: prometheus)"; exit 1; \
	else echo "SKIPPED: promtool is not installed (Debian: prometheus), the alert rules were not tried"; fi

packages: ## the deb, its SBOM and checksums, in bin/packages
	.packaging/build bin/packages

packages-check: ## build the package twice, compare, and follow docs/deploy.md with it (root)
	.packaging/check
	$(GO) test -count=1 -v -timeout=20m -run='^TestDeploy$$' ./cli/e2e -deploy.packages=$(CURDIR)/bin/packages

check: lint rules packages-check ## lint, try the alert rules and the package, compare generated code and BPF objects when their inputs changed
	test -z "$$($(GEN) gofumpt -l agent cli experiments proto server | grep -v '\.pb\.go$$')"
	$(GO) mod tidy -diff
	.tools/generated check

clean: ## remove what was built
	rm -rf bin

.PHONY: help build demo test vet unit race sim sweep bench fuzz cover proto bpf lint rules packages packages-check fmt check clean
