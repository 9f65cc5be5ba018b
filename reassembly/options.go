package reassembly

// Options configure a table.
type Options struct {
	Profile  Profile
	MaxFlows int    // bound on flows held at once; at least 1
	Seed     uint64 // of the hash, random per process
	// Compat has the table keep what Flow.ConnState, AppendHistory and
	// Completeness tell. Without it they tell nothing.
	Compat bool
}

// Counters are what a table adds up over all its flows.
type Counters struct {
	Segments    uint64 // TCP segments taken
	Flows       uint64 // flows begun
	Evicted     uint64 // flows judged early because the table was full
	Duplicates  uint64 // copies of frames
	AckedUnseen uint64 // segments that acknowledged what the capture does not hold
	Quotes      uint64 // ICMP errors that quote a flow
	Strangers   uint64 // ICMP errors that quote no flow of the table
}
