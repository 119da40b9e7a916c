# `make check` is what the CI runs. `make nightly` is the same with full counts.
TOOL = go tool -modfile=tools/go.mod

.PHONY: check test race lint fuzz sim model e2e netns chaos bench-idle bench-cache bench-cache-short bench-hooks bench-scale bench-failover crash soak upgrade rekey busy attack browser demo nightly build

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
	go test -count=1 ./test/netns -netns

# Faults at random, without a quorum and with one: MINUTES each, from SEED.
chaos:
	go test -count=1 -v -timeout=0 ./test/chaos -run Chaos -chaos -minutes=$(or $(MINUTES),5) -seed=$(or $(SEED),1)

bench-idle:
	go test -run='^$$' -bench=Idle -benchtime=1x ./test/e2e -idle=30s

# All of it, against the bar; needs redis-server. PROFILE=DIR keeps CPU profiles.
bench-cache:
	go test -count=1 -v -timeout=60m ./bench/cache -measure $(if $(PROFILE),-profile $(abspath $(PROFILE)))

bench-cache-short:
	go test -count=1 -v -timeout=15m -short ./bench/cache -measure

# 50, 100 and 200 instances in one network namespace, beside as many bare receivers.
bench-scale:
	go test -count=1 -v -timeout=60m ./bench/scale -measure -results $(CURDIR)/docs/results/scale.md

# CPU time of a step with our hooks and with their peers, against the bar.
bench-hooks:
	cd bench/hooks && go test -count=1 -v -timeout=30m -measure

# Take-over times beside keepalived, Redis Sentinel, raft and etcd; as root. It
# writes docs/results/failover.md, .csv and .svg.
bench-failover:
	cd bench/failover && go run . -runs $(or $(RUNS),20) -out ../../docs/results

# kill -9 of masters, 50 times each way.
crash:
	go test -count=1 -v -timeout=60m -run 'Crash|Silent|Clone|Keeper|Refusal' ./test/e2e -full

# What SECURITY.md names, floods of the group too.
attack:
	go test -count=1 -v -timeout=15m ./test/attack -attack

# The dashboard with chromium; PICTURES=DIR keeps what it looked like.
browser:
	go test -count=1 -v ./test/browser -browser $(if $(PICTURES),-picture $(abspath $(PICTURES)))

# A change of master every 20 s under load, and what an instance uses beside it.
soak:
	go test -count=1 -v -timeout=24h ./test/kill -run=TestSoak -soak=$(or $(MINUTES),30)m

# Instances of the commit OLD are replaced by those of this one, under load.
upgrade:
	go test -count=1 -v -timeout=30m ./test/kill -run=TestUpgrade -old=$(or $(OLD),HEAD~1)

# The key is changed under load, without a change of master.
rekey:
	go test -count=1 -v -timeout=10m ./test/kill -run=TestRekey -rekey

# No take-over without a fault at a lease of 500 ms, all cores busy. The machine
# must have nothing else to do.
busy:
	go test -count=1 -v -timeout=24h ./test/e2e -run=TestBusy -busy=$(or $(MINUTES),10)m

demo:
	go run ./cmd/interlok-ha demo

nightly:
	bash .ci/run nightly
