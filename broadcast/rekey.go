package broadcast

// SetCodec has packets sealed with another codec from the next one on: of the
// same cluster, with other keys. Nobody else may use it. Safe for concurrent use.
func (s *Service) SetCodec(c Codec) { s.codec.Store(&c) }
