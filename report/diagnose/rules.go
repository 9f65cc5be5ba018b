package diagnose

// Rules lists every rule, in the order in which they run and are listed.
func Rules() []Rule {
	return []Rule{
		finUnanswered(),
		finAnsweredLate(),
		lateCloseReset(),
		writeAfterFIN(),
		finUnacked(),
		lastACKLost(),
		ackOfFINLost(),
		timeWaitMissing(),
		closeBehindZeroWindow(),
		halfClose(),
		simultaneousClose(),
		abortiveClose(),
		rstUnreadData(),
		rstAfterFIN(),
		timeWaitAssassinated(),
		connectionRefused(),
		connectionRejected(),
		synUnanswered(),
		synRetransmitted(),
		handshakeACKLost(),
		acceptQueueOverflow(),
		handshakeAbandoned(),
		simultaneousOpen(),
		synOnLiveConnection(),
		badSYNACK(),
		tupleReused(),
	}
}
