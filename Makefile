GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)

.PHONY: help build test check
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/deed
	go build -o bin/deed ./cmd/deed

test: ## everything that needs only Go, with the race detector where a C compiler is present
	go test -shuffle=on $(RACE) ./...

check: ## vet, formatting, and what the linters say
	go vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
