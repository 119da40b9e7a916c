package profiler

// Room says whether a hook of the message id would find room now. With Block
// it would wait otherwise, with Drop its event would be forgotten. It is for
// those who would rather turn somebody away than wait.
func (p *Profiler) Room(id string) bool {
	if p == nil {
		return true
	}
	sh := p.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.buf) < sh.limit || sh.closed || p.state.Load() != running
}
