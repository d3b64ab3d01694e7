GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)

NODES := 1
# The stories that are told on Apache Kafka, too.
STORIES := KilledAtEveryPoint|KillsAndJoins|Zombie|BrokerKilled|BrokerStopped|ClockJumps|Retry3|EveryNodeAnswers|GrowingTopic|Undecodable

.PHONY: help build test kafka test-kafka test-fgs model check bench soak
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/deed
	go build -o bin/deed ./cmd/deed

test: ## everything that needs only Go, with the race detector where a C compiler is present
	go test -shuffle=on -timeout 20m $(RACE) $$(go list ./... | grep -v '^deed/integration$$')
	go test -shuffle=on -timeout 20m $(RACE) ./integration
	@echo "skipped: the stories on Apache Kafka, which make test-kafka tells ($$(command -v java >/dev/null 2>&1 && command -v mvn >/dev/null 2>&1 && echo 'java and mvn are installed' || echo 'java or mvn is not installed'))"

kafka: ## run Apache Kafka on loopback until interrupted; NODES=3 runs three brokers
	go run ./integration/kafkatest/run -nodes $(NODES)

test-kafka: ## the conformance suite, the stories and the faults on Apache Kafka, which Maven fetches
	go run ./integration/kafkatest/run -- go test -count=1 -timeout 15m ./eventstore/kafka
	go test -count=1 -timeout 40m ./integration -kafka -run '^Test($(STORIES))/(kafka|three_brokers|.*h0m0s)'
	go test -count=1 -timeout 10m ./integration -kafka -run '^Test(GuardedKafka|WeakTopics)$$'

test-fgs: ## Huawei's own client, and requests as other clients write them, against a node
	cd integration/fgs && go vet ./... && go test -count=1 -timeout 15m $(RACE) ./...

model: ## check the protocol's model: every scenario, some minutes
	go run ./integration/model

check: ## linters, formatting, vet, tidiness: what must hold of every commit
	go vet ./...
	go vet -tags faults ./cmd/...
	go run $(GOLANGCI) fmt --diff ./...
	go run $(GOLANGCI) run ./...
	go mod tidy -diff
	GOLANGCI=$(GOLANGCI) go test -count=1 -run TestLinterSeesOffences ./integration

bench: ## what it costs and how fast it is, beside the raw library, in one run
	go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./cmd/internal/node
	go test -run '^$$' -bench Restart -benchtime 5x ./integration
	go test -run '^$$' -bench . ./eventstore ./eventstore/embedded ./eventstore/kafka ./runtime/wasm

soak: ## the faults, larger and over several seeds; many waiting invocations; guests that mean harm, and a million attempts
	go test -count=1 -timeout 60m -run '^Test(Adversaries|Neighbours|Mutations|Stalls|ManyAttempts|Reruns)$$' ./runtime/wasm -soak -v
	for i in 1 2 3 4 5; do go test -count=1 -timeout 20m -run NothingAccepted ./integration -invocations 5000 -v || exit 1; done
	for i in 1 2 3; do go test -count=1 -timeout 40m -run 'KillsAndJoins|KilledAtEveryPoint|Zombie|BrokerKilled' ./integration -kafka -invocations 20000 -v || exit 1; done
	go test -count=1 -timeout 20m -run ManyWaiting ./integration -waiting 100000 -v
