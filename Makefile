# `make check` is what the CI runs. `make nightly` is the same with full counts.
TOOL = go tool -modfile=tools/go.mod

.PHONY: check test race lint fuzz sim model e2e netns bench-idle demo nightly build

check:
	bash .ci/run

build:
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/interlok-ha ./cmd/interlok-ha

test:
	go test ./...

race:
	bash .ci/run race

lint:
	bash .ci/run format vet staticcheck lint

fuzz:
	bash .ci/run fuzz

sim:
	bash .ci/run sim

model:
	bash model/run.sh

e2e:
	go test -count=1 ./test/e2e

netns:
	go test -count=1 ./test/netns

bench-idle:
	go test -run='^$$' -bench=Idle -benchtime=1x ./test/e2e -idle=30s

demo:
	go run ./cmd/interlok-ha demo

nightly:
	bash .ci/run nightly
