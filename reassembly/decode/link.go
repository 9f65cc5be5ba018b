package decode

import (
	"encoding/binary"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Link types by their LINKTYPE values. gopacket's layers.LinkType has eight
// bits, too few for the last ones.
const (
	linkNull       = 0
	linkEthernet   = 1
	linkTokenRing  = 6
	linkSLIP       = 8
	linkPPP        = 9
	linkFDDI       = 10
	linkRaw12      = 12 // DLT_RAW as most systems number it
	linkRaw14      = 14 // and as OpenBSD does
	linkPPPHDLC    = 50
	linkPPPEther   = 51
	linkATM1483    = 100
	linkRaw        = 101
	linkCHDLC      = 104
	linkWiFi       = 105
	linkFrameRelay = 107
	linkLoop       = 108
	linkEnc        = 109
	linkSLL        = 113
	linkPFLog      = 117
	linkPrism      = 119
	linkIPOverFC   = 122
	linkRadiotap   = 127
	linkFireWire   = 138
	linkAVS        = 163
	linkPPPD       = 166
	linkJuniper    = 178 // Ethernet
	linkJuniperPPP = 179
	linkJuniperFR  = 180
	linkJuniperHD  = 181
	linkPPI        = 192
	linkERF        = 197
	linkPPPWithDir = 204
	linkCHDLCDir   = 205
	linkRelayDir   = 206
	linkIPNet      = 226
	linkIPv4       = 228
	linkIPv6       = 229
	linkNFLog      = 239
	linkNetAna     = 240
	linkNetAnaT    = 241
	linkIPoIB      = 242
	linkPKTAP      = 258
	linkSLL2       = 276
	linkBRCM       = 281
	linkBRCMPre    = 282
	linkDSA        = 284
	linkEDSA       = 285
)

// Lengths of link-layer headers that say nothing else of use.
const (
	slipHeader    = 16 // BSD: direction and compressed header
	encHeader     = 12 // OpenBSD: family, SPI, flags
	fcHeader      = 16 // RFC 2625 network header, then LLC
	ipnetHeader   = 24 // Solaris
	netAnaHeader  = 4  // netANALYZER, then Ethernet
	netAnaTHeader = 12 // and with preamble
	fddiHeader    = 13 // frame control and two addresses, then LLC
	switchTag     = 4  // Broadcom and DSA
	switchTagE    = 8  // EtherType DSA
)

// link decodes a frame by the link type of its source. Types that wrap others
// (PPI, PKTAP) come here again.
func (d *Decoder) link(link uint16, f frame) Result {
	if !d.enter() {
		return d.undecodable(tooDeep)
	}
	switch link {
	case linkEthernet:
		return d.ethernet(f)
	case linkNull, linkLoop:
		return d.null(f)
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return d.rawIP(f)
	case linkSLL:
		return d.cooked(f)
	case linkSLL2:
		return d.cooked2(f)
	case linkPPP, linkPPPHDLC:
		return d.ppp(f)
	case linkPPPEther:
		return d.pppoe(f)
	case linkPPPD, linkPPPWithDir:
		return d.pppWithDirection(f)
	case linkCHDLC:
		return d.after(f, 2, 4)
	case linkIPoIB:
		return d.after(f, 40, 44)
	case linkFireWire:
		return d.after(f, 16, 18)
	case linkWiFi:
		return d.wifi(f, false)
	case linkRadiotap:
		return d.radiotap(f)
	case linkPrism, linkAVS:
		return d.prism(f)
	}
	return d.rareLink(link, f)
}

// rareLink is the rest of link.
func (d *Decoder) rareLink(link uint16, f frame) Result {
	switch link {
	case linkSLIP:
		return d.behind(f, slipHeader, (*Decoder).rawIP)
	case linkEnc:
		return d.behind(f, encHeader, (*Decoder).rawIP)
	case linkIPNet:
		return d.behind(f, ipnetHeader, (*Decoder).rawIP)
	case linkATM1483:
		return d.logicalLink(f)
	case linkIPOverFC:
		return d.behind(f, fcHeader, (*Decoder).logicalLink)
	case linkFDDI:
		return d.behind(f, fddiHeader, (*Decoder).logicalLink)
	case linkNetAna:
		return d.behind(f, netAnaHeader, (*Decoder).ethernet)
	case linkNetAnaT:
		return d.behind(f, netAnaTHeader, (*Decoder).ethernet)
	case linkBRCMPre:
		return d.behind(f, switchTag, (*Decoder).ethernet)
	case linkBRCM, linkDSA:
		return d.after(f, 12+switchTag, 14+switchTag)
	case linkEDSA:
		return d.after(f, 12+switchTagE, 14+switchTagE)
	case linkFrameRelay:
		return d.frameRelay(f)
	case linkCHDLCDir:
		return d.after(f, 3, 5)
	case linkRelayDir:
		return d.behind(f, 1, (*Decoder).frameRelay)
	case linkTokenRing:
		return d.tokenRing(f)
	case linkJuniper:
		return d.juniper(f, (*Decoder).ethernet)
	case linkJuniperPPP, linkJuniperHD:
		return d.juniper(f, (*Decoder).ppp)
	case linkJuniperFR:
		return d.juniper(f, (*Decoder).frameRelay)
	case linkERF:
		return d.erf(f)
	case linkPFLog:
		return d.pflog(f)
	case linkPPI:
		return d.ppi(f)
	case linkNFLog:
		return d.nflog(f)
	case linkPKTAP:
		return d.pktap(f)
	}
	return d.unknownLink(link)
}

// behind steps over a header of n octets.
func (d *Decoder) behind(f frame, n int, next func(*Decoder, frame) Result) Result {
	if len(f.data) < n {
		return d.short(f, n)
	}
	return next(d, f.skip(n))
}

// after reads the EtherType at octet at and goes on behind octet n.
func (d *Decoder) after(f frame, at, n int) Result {
	if len(f.data) < n {
		return d.short(f, n)
	}
	return d.etherType(layers.EthernetType(be16(f.data[at:])), f.skip(n))
}

// rawIP is an IP packet that says itself which version it has.
func (d *Decoder) rawIP(f frame) Result {
	if len(f.data) == 0 {
		return d.short(f, 1)
	}
	switch f.data[0] >> 4 {
	case 4:
		return d.ipv4(f)
	case 6:
		return d.ipv6(f)
	}
	return NotTCP
}

// null is the loopback of BSD: the address family in the byte order of the
// capturing host, or of the network for LOOP. Families are small, so the order
// shows; AF_INET is 2 everywhere, AF_INET6 differs from system to system.
func (d *Decoder) null(f frame) Result {
	if len(f.data) < 4 {
		return d.short(f, 4)
	}
	family := be32(f.data)
	if family > 0xffff {
		family = binary.LittleEndian.Uint32(f.data)
	}
	switch family {
	case 2, 10, 23, 24, 28, 30: // IPv4; IPv6 of Linux, Windows, NetBSD, FreeBSD, Darwin
		return d.rawIP(f.skip(4))
	}
	return NotTCP
}

// ARP hardware types of "cooked" frames whose protocol field is no EtherType
// (net/if_arp.h).
const (
	arphrdFrameRelay = 770
	arphrdRadiotap   = 803
	arphrdNetlink    = 824
)

// cookedLLC stands in the protocol field of a frame that begins with an LLC
// header (ETH_P_802_2).
const cookedLLC = 4

// cooked is Linux's capture of any interface, version 1.
func (d *Decoder) cooked(f frame) Result {
	if len(f.data) < 16 {
		return d.short(f, 16)
	}
	return d.cookedPayload(be16(f.data[2:]), be16(f.data[14:]), f.skip(16))
}

// cooked2 is version 2, which gopacket does not know.
func (d *Decoder) cooked2(f frame) Result {
	if len(f.data) < 20 {
		return d.short(f, 20)
	}
	return d.cookedPayload(be16(f.data[8:]), be16(f.data[0:]), f.skip(20))
}

func (d *Decoder) cookedPayload(hardware, protocol uint16, f frame) Result {
	switch {
	case hardware == arphrdFrameRelay:
		return d.frameRelay(f)
	case hardware == arphrdRadiotap:
		return d.radiotap(f)
	case hardware == arphrdNetlink:
		return NotTCP
	case protocol == cookedLLC:
		return d.logicalLink(f)
	}
	return d.etherType(layers.EthernetType(protocol), f)
}

// logicalLink is IEEE 802.2: SNAP with an EtherType, or IP itself.
func (d *Decoder) logicalLink(f frame) Result {
	const (
		sapIP          = 0x06
		ouiEther       = 0x000000 // RFC 1042
		ouiTunnel      = 0x0000f8 // IEEE 802.1H bridge tunnel
		ouiBridged     = 0x0080c2 // RFC 2684 §5.2
		bridgedWithFCS = 0x0001
		bridged        = 0x0007
		snapHeader     = 5
	)
	if err := d.llc.DecodeFromBytes(f.data, gopacket.NilDecodeFeedback); err != nil {
		return d.short(f, 4)
	}
	f = f.skip(len(d.llc.Contents))
	if d.llc.DSAP == sapIP {
		return d.rawIP(f)
	}
	if d.llc.NextLayerType() != layers.LayerTypeSNAP {
		return NotTCP
	}
	if err := d.snap.DecodeFromBytes(f.data, gopacket.NilDecodeFeedback); err != nil {
		return d.short(f, snapHeader)
	}
	oui := be32(f.data) >> 8
	f = f.skip(snapHeader)
	switch {
	case oui == ouiEther, oui == ouiTunnel:
		return d.etherType(d.snap.Type, f)
	case oui == ouiBridged && (d.snap.Type == bridged || d.snap.Type == bridgedWithFCS):
		return d.behind(f, 2, (*Decoder).ethernet) // two octets of padding
	}
	return NotTCP
}

// frameRelay is RFC 2427: a Q.922 address, then an OSI network layer id.
func (d *Decoder) frameRelay(f frame) Result {
	const (
		unnumbered = 0x03
		nlpidIPv4  = 0xcc
		nlpidIPv6  = 0x8e
		nlpidSNAP  = 0x80
	)
	n := 0
	for n < 4 && n < len(f.data) && f.data[n]&1 == 0 {
		n++ // the lowest bit marks the address' last octet
	}
	n++
	if len(f.data) < n+3 {
		return d.short(f, n+3)
	}
	if f.data[n] != unnumbered {
		return d.after(f, n, n+2) // Cisco's own encapsulation: an EtherType
	}
	f = f.skip(n + 1)
	if f.data[0] == 0 {
		f = f.skip(1) // padding
	}
	switch id := f.data[0]; id {
	case nlpidIPv4, nlpidIPv6:
		return d.rawIP(f.skip(1))
	case nlpidSNAP:
		if len(f.data) < 6 {
			return d.short(f, 6)
		}
		if be32(f.data)&0xffffff == 0 {
			return d.after(f, 4, 6)
		}
	}
	return NotTCP
}
