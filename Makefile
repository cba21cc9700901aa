# The race detector needs a C compiler; without one the tests run without it.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),$(if $(shell command -v $$(go env CC)),-race))
CODE := . cmd/secretref examples
ALL := $(CODE) internal/e2e internal/bench internal/tools
TIDY := $(CODE) internal/e2e internal/tools # not internal/bench: its tidy fetches 3 GB
CHECKS := fmt vet vet-windows vet-386 lint layers prose-check tidy vuln-if-reachable
EACH := ./internal/tools/each.sh

.PHONY: demo test e2e check fips fuzz bench bench-once dist prose vuln $(CHECKS)

demo: ; @cd examples && go run ./quickstart
test: ; @$(EACH) "go test $(RACE) ./..." $(CODE) internal/tools
e2e: ; @$(EACH) "go test $(RACE) ./..." internal/e2e
check: ; @$(MAKE) --no-print-directory --keep-going $(CHECKS)
fips: ; @$(EACH) "GODEBUG=fips140=only go test ./..." $(CODE)
fuzz: ; @./internal/tools/fuzz.sh
bench: ; @./internal/tools/bench.sh
bench-once: ; @$(EACH) "go test -short -bench . -benchtime 1x ./..." internal/bench
dist: ; @./internal/tools/dist.sh
prose: ; @cd internal/tools && go run ./prose ../..
vuln: ; @./internal/tools/vuln.sh $(CODE)

fmt: ; @files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted:" $$files; exit 1; }
vet: ; @$(EACH) "go vet ./..." $(ALL)
vet-windows: ; @$(EACH) "GOOS=windows go vet ./..." $(CODE)
vet-386: ; @$(EACH) "GOARCH=386 go vet ./..." $(CODE)
lint: ; @tool=$$(cd internal/tools && go tool -n staticcheck) && $(EACH) "$$tool ./..." $(ALL)
layers: ; @cd internal/tools && go run ./layers ../..
prose-check: ; @cd internal/tools && go run ./prose -check ../..
tidy: ; @$(EACH) "go mod tidy -diff" $(TIDY)
vuln-if-reachable: ; @./internal/tools/vuln.sh -if-reachable $(CODE)
