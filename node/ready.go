package node

// Ready is closed when the API answers, after which [Node.Run] has begun.
func (n *Node) Ready() <-chan struct{} { return n.admin.Ready() }
