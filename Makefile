GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)

.PHONY: help build test check bench soak
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/deed
	go build -o bin/deed ./cmd/deed

test: ## everything that needs only Go, with the race detector where a C compiler is present
	go test -shuffle=on -timeout 9m $(RACE) ./...

check: ## linters, formatting, vet, tidiness: what must hold of every commit
	go vet ./...
	go run $(GOLANGCI) fmt --diff ./...
	go run $(GOLANGCI) run ./...
	go mod tidy -diff
	GOLANGCI=$(GOLANGCI) go test -count=1 -run TestLinterSeesOffences ./integration

bench: ## completed invocations a second and what each costs, beside raw Sarama, in one run
	go test -run '^$$' -bench . -benchtime 1x ./cmd/internal/node
	go test -run '^$$' -bench . ./eventstore ./eventstore/kafka ./runtime/wasm

soak: ## the crash test, larger and over several seeds
	for i in 1 2 3 4 5; do go test -count=1 -timeout 20m -run NothingAccepted ./integration -invocations 5000 -v || exit 1; done
