package compat

// likelyServer reports whether Zeek's likely_server_ports holds a TCP port, as
// its base scripts fill it.
func likelyServer(port uint16) bool {
	switch port {
	case 21, 2811, // FTP
		22,      // SSH
		25, 587, // SMTP
		53,                                        // DNS
		79,                                        // finger
		80, 81, 631, 1080, 3128, 8000, 8080, 8888, // HTTP; 1080 is SOCKS too
		88,       // Kerberos
		135,      // DCE-RPC
		139, 445, // SMB
		143,       // IMAP
		389, 3268, // LDAP
		443, 563, 585, 614, 636, 989, 990, 992, 993, 995, // TLS
		502,        // Modbus
		1883,       // MQTT
		3389,       // RDP
		5222, 5269, // XMPP
		5223,                   // TLS
		6666, 6667, 6668, 6669, // IRC
		20000: // DNP3
		return true
	}
	return false
}
