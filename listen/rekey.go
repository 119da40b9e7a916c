package listen

// SetCodec has packets opened with another codec from now on: of the same
// cluster, with other keys. Nobody else may use it. What was heard stays heard,
// so a change of keys makes no packet count twice. Safe for concurrent use.
func (s *Service) SetCodec(c Codec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Codec = c
}
