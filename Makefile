# The race detector needs a C compiler; without one the tests run without it.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),$(if $(shell command -v $$(go env CC)),-race))
CODE := . cmd/secretref examples
MODULES := $(CODE) internal/e2e internal/tools # not internal/bench: its tidy fetches 3 GB
# Of the peer with dozens of backends only those that are compared.
PEERS := -tags custom_providers,aws,vault
EACH = for m in $(MODULES); do echo "$$m: $(1)" && (cd $$m && $(1)) || exit 1; done
CROSS = for m in $(CODE); do echo "$$m: $(1)" && (cd $$m && $(1)) || exit 1; done

.PHONY: demo test e2e check vuln fips fuzz bench bench-once dist

demo: ; @cd examples && go run ./quickstart
test: ; @for m in $(CODE); do (cd $$m && go test $(RACE) ./...) || exit 1; done
e2e: ; @cd internal/e2e && go test $(RACE) ./...
check: fmt vet lint tidy ; @./internal/tools/vuln.sh -if-reachable $(CODE)
vuln: ; @./internal/tools/vuln.sh $(CODE)
fips: ; @for m in $(CODE); do (cd $$m && GODEBUG=fips140=only go test ./...) || exit 1; done
fuzz: ; @./internal/tools/fuzz.sh
bench: ; @cd internal/bench && go run ./report
bench-once: ; @cd internal/bench && go test $(PEERS) ./... && go run ./report -quick
dist: ; @./internal/tools/dist.sh

.PHONY: fmt vet lint tidy
fmt: ; @files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted:" $$files; exit 1; }
vet: ; @$(call CROSS,go vet ./...) && $(call CROSS,GOOS=windows go vet ./...) && $(call CROSS,GOARCH=386 go vet ./...) && (cd internal/e2e && go vet ./...) && cd internal/bench && go vet $(PEERS) ./...
lint: ; @tool=$$(cd internal/tools && go tool -n staticcheck) && for m in $(CODE) internal/e2e; do echo "$$m: staticcheck" && (cd $$m && $$tool ./...) || exit 1; done && cd internal/bench && $$tool $(PEERS) ./...
tidy: ; @$(call EACH,go mod tidy -diff)
