package decode

// gtp is a user packet in GTP-U version 1 (3GPP TS 29.281 §5.1). gopacket's
// decoder computes lengths in 16 bits and prints to standard output.
func (d *Decoder) gtp(f frame) Result {
	const (
		header     = 8
		optional   = 4 // sequence number, N-PDU number, next extension
		versionOne = 0x30
		version    = 0xf0
		extended   = 0x04
		anyField   = 0x07
		userPacket = 255
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	flags, size := f.data[0], int(be16(f.data[2:]))
	if flags&version != versionOne || f.data[1] != userPacket || header+size > f.wire {
		return NotTCP
	}
	n := header
	if flags&anyField != 0 {
		n += optional
	}
	f = f.atMost(header + size)
	if flags&extended != 0 {
		// Each extension begins with its length in units of four octets and
		// ends with the type of the next one.
		for {
			if len(f.data) <= n {
				return d.short(f, n+1)
			}
			if f.data[n-1] == 0 {
				break
			}
			if f.data[n] == 0 {
				return NotTCP
			}
			n += int(f.data[n]) * 4
		}
	}
	if len(f.data) <= n {
		return d.short(f, n+1)
	}
	f = f.skip(n)
	switch {
	case looksLikeIP(f):
		return d.rawIP(f)
	case looksLikeEthernet(f): // a 5G session of type Ethernet
		return d.ethernet(f)
	case f.data[0] == 0xff || f.data[0] == 0 || f.data[0] == 0x21 || f.data[0] == 0x57:
		return d.ppp(f)
	case f.cutWithin(ethernetHeader):
		return d.undecodable(cutHeaders)
	}
	return d.rawIP(f)
}

// tzsp is the TaZmen Sniffer Protocol, in which access points and routers send
// what they captured: a header, tags, and a frame.
func (d *Decoder) tzsp(f frame) Result {
	const (
		header    = 4
		version   = 1
		received  = 0
		outgoing  = 1
		tagPad    = 0
		tagEnd    = 1
		ethernet  = 1
		wifi      = 18
		wifiPrism = 119
		wifiAVS   = 127
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	if f.data[0] != version || f.data[1] != received && f.data[1] != outgoing {
		return NotTCP
	}
	carries := be16(f.data[2:])
	n := header
	for {
		if len(f.data) <= n {
			return d.short(f, n+1)
		}
		tag := f.data[n]
		n++
		if tag == tagEnd {
			break
		}
		if tag == tagPad {
			continue
		}
		if len(f.data) <= n {
			return d.short(f, n+1)
		}
		n += 1 + int(f.data[n])
	}
	f = f.skip(n)
	switch carries {
	case ethernet:
		return d.ethernet(f)
	case wifi:
		return d.wifi(f, false)
	case wifiPrism, wifiAVS:
		return d.prism(f)
	}
	return NotTCP
}
