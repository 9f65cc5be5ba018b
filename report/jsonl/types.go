package jsonl

// Every line is one of these types; the schema is generated from them. Fields
// that are not known are absent. What the words mean stands in the contract.

// Meta is the first line.
type Meta struct {
	Type    string       `json:"type" jsonschema:"enum=meta"`
	Schema  string       `json:"schema" jsonschema:"enum=lastack/1"`
	Version string       `json:"version"`
	Command []string     `json:"command"`
	Sources []MetaSource `json:"sources"`
	Options MetaOptions  `json:"options"`
}

// MetaSource names an input.
type MetaSource struct {
	Name   string `json:"name"`
	Format string `json:"format"`
}

// MetaOptions is what was assumed of the hosts.
type MetaOptions struct {
	Profile string `json:"profile"`
	MSL     int64  `json:"msl_ns"`
	Ports   string `json:"ports" jsonschema:"pattern=^[0-9]+-[0-9]+$"`
}

// Packet is a frame of a source.
type Packet struct {
	File  int    `json:"file" jsonschema:"minimum=0"`
	Frame uint64 `json:"frame" jsonschema:"minimum=1"`
}

// Addr is one end of a flow.
type Addr struct {
	IP   string `json:"ip"`
	Port uint16 `json:"port"`
}

// Flow is one incarnation of a four-tuple.
type Flow struct {
	Type            string        `json:"type" jsonschema:"enum=flow"`
	ID              string        `json:"id" jsonschema:"pattern=^[0-9]+:[0-9]+$"`
	Client          Addr          `json:"client"`
	Server          Addr          `json:"server"`
	Role            string        `json:"role" jsonschema:"enum=syn,enum=synack,enum=guessed"`
	Incarnation     uint32        `json:"incarnation" jsonschema:"minimum=1"`
	Midstream       bool          `json:"midstream"`
	Start           Time          `json:"start"`
	End             Time          `json:"end"`
	First           Packet        `json:"first_packet"`
	Last            Packet        `json:"last_packet"`
	ClientStats     Stats         `json:"client_stats"`
	ServerStats     Stats         `json:"server_stats"`
	Handshake       Handshake     `json:"handshake"`
	Close           string        `json:"close" jsonschema:"enum=refused,enum=unanswered,enum=orderly,enum=simultaneous,enum=reset,enum=fin_unacked,enum=half_closed,enum=open"`
	ActiveCloser    string        `json:"active_closer" jsonschema:"enum=client,enum=server,enum=both,enum=none"`
	Reset           *Reset        `json:"reset,omitempty"`
	ClientState     State         `json:"client_state"`
	ServerState     State         `json:"server_state"`
	Transitions     []Transition  `json:"transitions"`
	StateNS         StateNS       `json:"state_ns"`
	TimeWait        []TimeWait    `json:"time_wait"`
	FinWait2Expired bool          `json:"fin_wait_2_expired"`
	ConnState       string        `json:"conn_state,omitempty"`
	History         string        `json:"history,omitempty"`
	Completeness    uint8         `json:"completeness"`
	CommunityID     string        `json:"community_id,omitempty"`
	Quality         []QualityName `json:"quality"`
}

// Stats counts what one end sent.
type Stats struct {
	Packets      uint64 `json:"packets"`
	SYN          uint64 `json:"syn"`
	FIN          uint64 `json:"fin"`
	RST          uint64 `json:"rst"`
	PayloadBytes uint64 `json:"payload_bytes"`
	Duplicates   uint64 `json:"duplicates"`
	Retransmits  uint64 `json:"retransmits"`
	OutOfOrder   uint64 `json:"out_of_order"`
	ZeroWindows  uint64 `json:"zero_windows"`
	Keepalives   uint64 `json:"keepalives"`
}

// Handshake is how a flow opened.
type Handshake struct {
	Outcome     string `json:"outcome" jsonschema:"enum=complete,enum=incomplete,enum=refused,enum=unreachable,enum=unanswered,enum=simultaneous,enum=unseen"`
	Connect     *int64 `json:"connect_ns,omitempty"`
	SYNToSYNACK *int64 `json:"syn_to_synack_ns,omitempty"`
	SYNACKToACK *int64 `json:"synack_to_ack_ns,omitempty"`
}

// Reset is the RST that took effect.
type Reset struct {
	By         string  `json:"by" jsonschema:"enum=client,enum=server,enum=middlebox,enum=unknown"`
	Packet     Packet  `json:"packet"`
	Time       Time    `json:"time"`
	InAnswerTo *Packet `json:"in_answer_to,omitempty"`
	Class      string  `json:"class" jsonschema:"enum=active,enum=passive,enum=unknown"`
}

// Transition is one step of one endpoint.
type Transition struct {
	Time     Time     `json:"time"`
	Packet   *Packet  `json:"packet,omitempty"`
	Endpoint Endpoint `json:"endpoint"`
	From     State    `json:"from"`
	To       State    `json:"to"`
	Event    string   `json:"event" jsonschema:"enum=send_syn,enum=recv_syn,enum=send_syn_ack,enum=recv_syn_ack,enum=recv_ack_of_syn,enum=send_fin,enum=recv_fin,enum=recv_ack_of_fin,enum=send_rst,enum=recv_rst,enum=recv_icmp,enum=timeout_2msl,enum=timeout,enum=reuse,enum=pickup,enum=revise"`
	Basis    string   `json:"basis" jsonschema:"enum=seen,enum=presumed,enum=implied,enum=revised,enum=timer"`
}

// StateNS is the time that both ends spent in each state, without CLOSED and
// LISTEN.
type StateNS struct {
	Client map[State]int64 `json:"client"`
	Server map[State]int64 `json:"server"`
}

// TimeWait is one stay in TIME_WAIT.
type TimeWait struct {
	Endpoint    Endpoint `json:"endpoint"`
	Entered     Time     `json:"entered"`
	Expires     Time     `json:"expires"`
	Restarts    uint32   `json:"restarts"`
	EndedBy     string   `json:"ended_by" jsonschema:"enum=expiry,enum=reuse,enum=rst,enum=eviction,enum=capture_end"`
	ReusedAfter *int64   `json:"reused_after_ns,omitempty"`
}

// Finding is one verdict.
type Finding struct {
	Type        string        `json:"type" jsonschema:"enum=finding"`
	Rule        string        `json:"rule" jsonschema:"pattern=^[a-z0-9-]+$"`
	Severity    Severity      `json:"severity"`
	Confidence  Confidence    `json:"confidence"`
	Who         Who           `json:"who"`
	Flow        string        `json:"flow,omitempty"`
	Flows       []string      `json:"flows,omitempty"`
	Service     string        `json:"service,omitempty"`
	Host        string        `json:"host,omitempty"`
	Time        Time          `json:"time"`
	Duration    *int64        `json:"duration_ns,omitempty"`
	Censored    bool          `json:"censored"`
	Verdict     string        `json:"verdict"`
	Evidence    []Evidence    `json:"evidence" jsonschema:"minItems=1"`
	Wireshark   string        `json:"wireshark,omitempty"`
	LoweredBy   []QualityName `json:"lowered_by,omitempty"`
	Provisional bool          `json:"provisional,omitempty"` // raised live, and not the last word
}

// Evidence is one packet that proves a finding.
type Evidence struct {
	Packet   Packet   `json:"packet"`
	Time     Time     `json:"time"`
	Endpoint Endpoint `json:"endpoint,omitempty"`
	What     string   `json:"what"`
}

// Group is the findings of one cause.
type Group struct {
	Type       string     `json:"type" jsonschema:"enum=group"`
	Rule       string     `json:"rule"`
	Severity   Severity   `json:"severity"`
	Confidence Confidence `json:"confidence"`
	Who        Who        `json:"who"`
	Service    string     `json:"service,omitempty"`
	Count      uint64     `json:"count"`
	Flows      []string   `json:"flows"`
	First      Time       `json:"first"`
	Last       Time       `json:"last"`
	Verdict    string     `json:"verdict"`
	// Clients is how many client addresses they are about, up to 1,000.
	Clients uint64 `json:"clients,omitempty"`
	// Longest is how long the longest lasted; StillOpen how many lasted to the
	// input's end, and Oldest the longest of those.
	Longest   int64  `json:"longest_ns,omitempty"`
	StillOpen uint64 `json:"still_open,omitempty"`
	Oldest    int64  `json:"oldest_ns,omitempty"`
	// How many began per minute in the first and in the last third of the time
	// from the first to the input's end.
	PerMinuteFirst *float64 `json:"per_minute_first,omitempty"`
	PerMinuteLast  *float64 `json:"per_minute_last,omitempty"`
	// Remarks are what the flow of the worst one shows beside.
	Remarks []string `json:"remarks,omitempty"`
}

// States is how many sockets a host holds in each state at a time. Presumed and
// Assumed are those of Counts that are not certain: a segment took them there of
// which nothing proves that it arrived; or a later packet implies the state, or
// the connection's opening was not seen.
type States struct {
	Type     string           `json:"type" jsonschema:"enum=states"`
	Time     Time             `json:"time"`
	Host     string           `json:"host"`
	Counts   map[State]uint64 `json:"counts" jsonschema:"minProperties=11"`
	Presumed map[State]uint64 `json:"presumed,omitempty" jsonschema:"minProperties=11"`
	Assumed  map[State]uint64 `json:"assumed,omitempty" jsonschema:"minProperties=11"`
	AsOf     *Time            `json:"as_of,omitempty"`
}

// Ports is one client's use of its ephemeral ports towards one service.
type Ports struct {
	Type         string  `json:"type" jsonschema:"enum=ports"`
	Client       string  `json:"client"`
	Server       string  `json:"server"`
	Capacity     uint64  `json:"capacity"`
	PeakTimeWait uint64  `json:"peak_time_wait"`
	PeakAt       *Time   `json:"peak_at,omitempty"`
	PeakInUse    uint64  `json:"peak_in_use"`
	OutsideRange uint64  `json:"outside_range,omitempty"`
	Rate         float64 `json:"rate_per_s"`
	Sustainable  float64 `json:"sustainable_per_s"`
	ExhaustedIn  *int64  `json:"exhausted_in_ns,omitempty"`
}

// Source is one input, at the end.
type Source struct {
	Type      string   `json:"type" jsonschema:"enum=source"`
	File      int      `json:"file"`
	Name      string   `json:"name"`
	Format    string   `json:"format"`
	LinkTypes []uint16 `json:"link_types"`
	Snaplen   uint32   `json:"snaplen,omitempty"`
	Packets   uint64   `json:"packets"`
	Bytes     uint64   `json:"bytes"`
	First     *Time    `json:"first,omitempty"`
	Last      *Time    `json:"last,omitempty"`
	SHA256    string   `json:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
	Error     string   `json:"error,omitempty"`
}

// Health is what could be read and what could not.
type Health struct {
	Type        string `json:"type" jsonschema:"enum=health"`
	Packets     uint64 `json:"packets"`
	TCPSegments uint64 `json:"tcp_segments"`
	NotTCP      uint64 `json:"not_tcp"`
	Undecodable uint64 `json:"undecodable"`
	Duplicates  uint64 `json:"duplicates"`
	AckedUnseen uint64 `json:"acked_unseen"`
	// KernelDrops is absent where not every source keeps an account of its drops.
	KernelDrops       *uint64 `json:"kernel_drops,omitempty"`
	EvictedFlows      uint64  `json:"evicted_flows"`
	TimeWentBackwards uint64  `json:"time_went_backwards"`
	BadChecksums      uint64  `json:"bad_checksums"`
	Notes             []Note  `json:"notes"`
	AsOf              *Time   `json:"as_of,omitempty"`
}

// Note is one remark on the input.
type Note struct {
	Text  string  `json:"text"`
	File  *int    `json:"file,omitempty"`
	Frame *uint64 `json:"frame,omitempty"`
}

// Summary is the last line.
type Summary struct {
	Type      string            `json:"type" jsonschema:"enum=summary"`
	Packets   uint64            `json:"packets"`
	Flows     uint64            `json:"flows"`
	ByClose   map[string]uint64 `json:"by_close"`
	ByFinding map[string]uint64 `json:"by_finding"`
	Verdict   string            `json:"verdict"`
	// NotAsked is the rules that are not reported, because others were asked for.
	NotAsked []string `json:"rules_not_asked,omitempty"`
	Duration int64    `json:"duration_ns"`
	AsOf     *Time    `json:"as_of,omitempty"`
}
