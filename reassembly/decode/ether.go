package decode

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// EtherTypes that gopacket has no name for.
const (
	etherQinQOld   = layers.EthernetType(0x9100) // before 802.1ad had its own
	etherVNTag     = layers.EthernetType(0x8926) // Cisco VN-Tag
	etherETag      = layers.EthernetType(0x893f) // 802.1BR
	etherCMD       = layers.EthernetType(0x8909) // Cisco metadata with a security group tag
	etherBackbone  = layers.EthernetType(0x88e7) // 802.1ah, MAC in MAC
	etherMACsec    = layers.EthernetType(0x88e5) // 802.1AE
	etherNSH       = layers.EthernetType(0x894f) // RFC 8300
	etherERSPAN2   = layers.EthernetType(0x88be)
	etherERSPAN3   = layers.EthernetType(0x22eb)
	etherGREPPP    = layers.EthernetType(0x880b) // RFC 2637
	etherWCCP      = layers.EthernetType(0x883e)
	etherSizeLimit = layers.EthernetType(0x0600) // below, it is a length
)

const ethernetHeader = 14

// ethernet is Ethernet II, or 802.3 with LLC behind a length.
func (d *Decoder) ethernet(f frame) Result {
	if err := d.eth.DecodeFromBytes(f.data, gopacket.NilDecodeFeedback); err != nil {
		return d.short(f, ethernetHeader)
	}
	f = f.skip(ethernetHeader)
	if d.eth.EthernetType == layers.EthernetTypeLLC {
		return d.logicalLink(f.atMost(int(d.eth.Length)))
	}
	return d.etherType(d.eth.EthernetType, f)
}

// etherType goes on with what an EtherType names.
func (d *Decoder) etherType(t layers.EthernetType, f frame) Result {
	if !d.enter() {
		return d.undecodable(tooDeep)
	}
	switch t {
	case layers.EthernetTypeIPv4:
		return d.ipv4(f)
	case layers.EthernetTypeIPv6:
		return d.ipv6(f)
	case layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ, etherQinQOld:
		return d.vlan(f)
	case layers.EthernetTypeMPLSUnicast, layers.EthernetTypeMPLSMulticast:
		return d.mpls(f)
	case layers.EthernetTypePPPoESession:
		return d.pppoe(f)
	case layers.EthernetTypeTransparentEthernetBridging:
		return d.ethernet(f)
	case layers.EthernetTypePPP:
		return d.ppp(f)
	case etherVNTag:
		return d.after(f, 4, 6)
	case etherETag, etherCMD:
		return d.after(f, 6, 8)
	case etherBackbone:
		return d.behind(f, 4, (*Decoder).ethernet)
	case etherMACsec:
		return d.macsec(f)
	case etherNSH:
		return d.nsh(f)
	}
	return NotTCP
}

// knownEtherType reports whether t can lead to TCP, or is common in a network
// that carries it. It tells an Ethernet header from other bytes.
func knownEtherType(t layers.EthernetType) bool {
	switch t {
	case layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeARP,
		layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ, etherQinQOld,
		layers.EthernetTypeMPLSUnicast, layers.EthernetTypeMPLSMulticast,
		layers.EthernetTypePPPoESession, layers.EthernetTypeLinkLayerDiscovery:
		return true
	}
	return false
}

// looksLikeEthernet reports whether f begins with an Ethernet header.
func looksLikeEthernet(f frame) bool {
	return len(f.data) >= ethernetHeader && knownEtherType(layers.EthernetType(be16(f.data[12:])))
}

// vlan is one VLAN tag. Id 0 is no VLAN but a priority (802.1Q §9.6).
func (d *Decoder) vlan(f frame) Result {
	if err := d.dot1q.DecodeFromBytes(f.data, gopacket.NilDecodeFeedback); err != nil {
		return d.short(f, 4)
	}
	if id := d.dot1q.VLANIdentifier; id != 0 {
		d.mark(tagVLAN, uint32(id))
	}
	t := d.dot1q.Type
	f = f.skip(4)
	if t < etherSizeLimit {
		return d.logicalLink(f.atMost(int(t)))
	}
	return d.etherType(t, f)
}

// mpls is a stack of labels (RFC 3032). What they carry is not named: IP, or
// by RFC 4385 and RFC 4448 an Ethernet pseudowire, with or without a control
// word.
func (d *Decoder) mpls(f frame) Result {
	const label = 4
	for bottom := false; !bottom; {
		if len(f.data) < label {
			return d.short(f, label)
		}
		entry := be32(f.data)
		bottom = entry&0x100 != 0
		f = f.skip(label)
	}
	if len(f.data) == 0 {
		return d.short(f, 1)
	}
	nibble := f.data[0] >> 4
	switch {
	case looksLikeIP(f):
		return d.rawIP(f)
	case nibble == 0 && len(f.data) > 4 && looksLikeEthernet(f.skip(4)):
		return d.ethernet(f.skip(4)) // behind the control word
	case looksLikeEthernet(f):
		return d.ethernet(f)
	case nibble == 4 || nibble == 6:
		return d.rawIP(f) // cut or malformed, and counted as such
	case f.cutWithin(4 + ethernetHeader):
		return d.undecodable(cutHeaders)
	}
	return NotTCP
}

// macsec is an 802.1AE frame, readable only if it is authenticated and not
// encrypted. The check value at its end lies behind what IP counts.
func (d *Decoder) macsec(f frame) Result {
	const (
		encrypted  = 0x08
		changed    = 0x04
		withSCI    = 0x20
		header     = 6
		identifier = 8
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	n := header
	if f.data[0]&withSCI != 0 {
		n += identifier
	}
	if f.data[0]&(encrypted|changed) != 0 {
		return d.undecodable(encryptedMACsec)
	}
	return d.after(f, n, n+2)
}

// nsh is the Network Service Header (RFC 8300 §2).
func (d *Decoder) nsh(f frame) Result {
	const base = 8
	if len(f.data) < base {
		return d.short(f, base)
	}
	n := int(f.data[1]&0x3f) * 4
	switch {
	case n < base:
		return d.malformed(badLink)
	case len(f.data) < n:
		return d.short(f, n)
	}
	return d.nextProtocol(f.data[3], f.skip(n))
}

// nextProtocol is the registry that NSH and VXLAN-GPE share.
func (d *Decoder) nextProtocol(next byte, f frame) Result {
	switch next {
	case 1, 2:
		return d.rawIP(f)
	case 3:
		return d.ethernet(f)
	case 4:
		return d.etherType(etherNSH, f)
	case 5:
		return d.mpls(f)
	}
	return NotTCP
}
