# What a fresh machine needs: Go and make. `make race` needs a C compiler besides, `make e2e` apt (as root).
# Every target stands alone; the names are in `make help`.

GO      ?= go
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION)
CACHE    = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/glasshouse
LINTER   = $(CACHE)/bin/golangci-lint-v2.15.0
KAFKA_JARS = $(CACHE)/kafka-4.4.0
NODE_PACKAGES = $(CACHE)/node-packages
APT      = apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
DEMO    ?=
KILLS   ?= 1000
SOAK    ?= 30m

E2E_PACKAGES = mosquitto mosquitto-clients kcat python3-pymodbus python3-serial python3-serial-asyncio fuse3 socat mbpoll

export CGO_ENABLED = 0

.PHONY: help build demo test race lint bench torture soak e2e peers cross clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/glasshouse, static
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/glasshouse ./cmd/glasshouse

demo: build ## the real gateway against a simulated greenhouse; DEMO='--for 60s' hands over flags
	bin/glasshouse demo $(DEMO)

test: ## all tests that need Go alone
	$(GO) vet ./...
	$(GO) test -timeout 10m ./...

race: ## the same with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

lint: $(LINTER) ## golangci-lint, pinned
	$(LINTER) run ./...
	$(LINTER) run --build-tags e2e ./cmd/glasshouse/e2e/...

$(LINTER):
	@mkdir -p $(CACHE)/bin
	GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(CACHE)/bin/golangci-lint $@

bench: ## the figures of the README, each beside its yardstick
	$(GO) test -run '^$$' -bench . -benchmem -timeout 30m ./rules ./buffer ./gateway/contract ./drivers/modbus ./drivers/mqtt ./gateway/...

torture: ## kill the gateway KILLS=1000 times under load, and the buffer as often in mid-commit; the books are checked after each
	GLASSHOUSE_TORTURE=$(KILLS) $(GO) test -count=1 -timeout 60m -v -run '^TestKills?$$' ./cmd/glasshouse/torture ./buffer

soak: ## the gateway in a simulated greenhouse for SOAK=30m while everything around it fails at random; nothing may leak or be lost
	GLASSHOUSE_SOAK=$(SOAK) $(GO) test -count=1 -timeout 24h -v -run '^TestSoak$$' ./cmd/glasshouse/torture

peers: $(KAFKA_JARS) $(NODE_PACKAGES) ## install what the end-to-end tests drive (Debian, root)
	@dpkg -s $(E2E_PACKAGES) >/dev/null 2>&1 || { $(APT) $(E2E_PACKAGES); }

$(KAFKA_JARS): .ci/kafka/pom.xml
	@command -v java >/dev/null && command -v mvn >/dev/null || { $(APT) default-jre-headless maven; }
	mvn -q -B -f .ci/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$@
	@touch $@

$(NODE_PACKAGES): .ci/node/package.json .ci/node/package-lock.json
	@command -v npm >/dev/null || { $(APT) nodejs npm; }
	@mkdir -p $@ && cp .ci/node/*.json $@
	cd $@ && npm ci --no-audit --no-fund --silent
	@touch $@

e2e: build peers ## the built gateway against Mosquitto, Apache Kafka, a foreign Modbus slave, and what the platform reads with
	KAFKA_JARS=$(KAFKA_JARS) NODE_PACKAGES=$(NODE_PACKAGES) $(GO) test -tags e2e -count=1 -timeout 30m ./cmd/glasshouse/e2e/...

cross: ## static binaries for amd64, arm64 and armv7 in dist/
	GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/glasshouse-amd64 ./cmd/glasshouse
	GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/glasshouse-arm64 ./cmd/glasshouse
	GOOS=linux GOARCH=arm GOARM=7 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/glasshouse-armv7 ./cmd/glasshouse

clean: ## what was made here
	rm -rf bin dist glasshouse-demo
