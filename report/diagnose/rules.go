package diagnose

// Rules lists every rule, in the order in which they run and are listed.
func Rules() []Rule {
	return []Rule{
		finUnanswered(),
		lateCloseReset(),
		writeAfterFIN(),
		finUnacked(),
		lastACKLost(),
		ackOfFINLost(),
		timeWaitMissing(),
		abortiveClose(),
		rstUnreadData(),
		rstAfterFIN(),
		timeWaitAssassinated(),
		connectionRefused(),
		tupleReused(),
	}
}
