//go:build ignore

// A limit to measure against, not a product: the least that a program must do
// to follow TCP connections. It reads a pcap file of Ethernet frames with
// read(2), finds the TCP header behind VLAN, IPv4 or IPv6, looks its flow up in
// an open-addressing hash table, moves a toy state machine, frees the flows
// that have closed, and prints one line.
//
// Usage: cloop FILE [SECONDS]
// A closed flow is kept for SECONDS of event time (0: freed at once).
//
// It believes what it reads: it is run on generated captures only.

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { NEW, OPENING, OPEN, CLOSING, CLOSED }; // of the flow as a whole

struct key {
	uint64_t addr[4];
	uint32_t ports;
};

struct end {
	uint32_t next, fin_end;
	uint8_t sent_fin, fin_acked;
};

struct flow {
	struct key key;
	struct end ends[2];
	int64_t last;
	uint32_t packets;
	uint8_t state, used;
};

static struct flow *table;
static uint64_t capacity = 1 << 16, used;

// Closed flows wait here, in the order in which they closed.
static struct { struct key key; int64_t at; } *waiting;
static uint64_t first, past, ring = 1 << 16;

static uint64_t flows, states[CLOSED + 1], resets, packets, segments;

static uint32_t be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static uint32_t le32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static uint64_t mix(uint64_t a, uint64_t b) {
	__uint128_t p = (__uint128_t)(a ^ 0x9e3779b97f4a7c15) * b;
	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash(const struct key *k) {
	uint64_t h = mix(k->addr[0], k->addr[1] ^ 0xa0761d6478bd642f);
	h = mix(h ^ k->addr[2], k->addr[3] ^ 0xe7037ed1a0b428db);
	return mix(h ^ k->ports, 0x8ebc6af09c88c6e3);
}

static int same(const struct key *a, const struct key *b) {
	return a->ports == b->ports && !memcmp(a->addr, b->addr, sizeof a->addr);
}

static void *must(void *p) {
	if (!p) {
		perror("cloop");
		exit(1);
	}
	return p;
}

static void grow(void) {
	struct flow *old = table;
	uint64_t n = capacity;
	capacity *= 2;
	table = must(calloc(capacity, sizeof *table));
	for (uint64_t i = 0; i < n; i++) {
		if (!old[i].used)
			continue;
		uint64_t j = hash(&old[i].key) & (capacity - 1);
		while (table[j].used)
			j = (j + 1) & (capacity - 1);
		table[j] = old[i];
	}
	free(old);
}

static struct flow *find(const struct key *k) {
	uint64_t i = hash(k) & (capacity - 1);
	while (table[i].used && !same(&table[i].key, k))
		i = (i + 1) & (capacity - 1);
	return &table[i];
}

static struct flow *find_or_make(const struct key *k) {
	struct flow *f = find(k);
	if (f->used)
		return f;
	if (2 * used >= capacity) {
		grow();
		f = find(k);
	}
	*f = (struct flow){.key = *k, .used = 1};
	used++;
	flows++;
	return f;
}

// drop removes a flow and closes the gap that it leaves in its chain.
static void drop(struct flow *f) {
	uint64_t mask = capacity - 1, gap = f - table;
	states[f->state]++;
	used--;
	for (uint64_t i = (gap + 1) & mask; table[i].used; i = (i + 1) & mask) {
		uint64_t home = hash(&table[i].key) & mask;
		if (((i - home) & mask) >= ((i - gap) & mask)) {
			table[gap] = table[i];
			gap = i;
		}
	}
	table[gap].used = 0;
}

static void retire(struct flow *f, int64_t now) {
	if (past - first == ring) {
		void *old = waiting;
		waiting = must(malloc(2 * ring * sizeof *waiting));
		uint64_t at = first & (ring - 1);
		memcpy(waiting, (char *)old + at * sizeof *waiting, (ring - at) * sizeof *waiting);
		memcpy(waiting + ring - at, old, at * sizeof *waiting);
		past -= first, first = 0, ring *= 2;
		free(old);
	}
	waiting[past & (ring - 1)].key = f->key;
	waiting[past++ & (ring - 1)].at = now;
}

// step is the toy: opening, open, closing, closed, with both sides' FINs.
static void step(struct flow *f, int side, uint32_t flags, uint32_t seq, uint32_t ack, uint32_t len) {
	struct end *me = &f->ends[side], *peer = &f->ends[!side];
	uint32_t next = seq + len + !!(flags & SYN) + !!(flags & FIN);
	if ((int32_t)(next - me->next) > 0 || !f->packets)
		me->next = next;
	f->packets++;
	if (flags & RST) {
		f->state = CLOSED;
		resets++;
		return;
	}
	if (flags & FIN && !me->sent_fin)
		me->sent_fin = 1, me->fin_end = next;
	if (flags & ACK && peer->sent_fin && (int32_t)(ack - peer->fin_end) >= 0)
		peer->fin_acked = 1;
	if (me->fin_acked && peer->fin_acked)
		f->state = CLOSED;
	else if (me->sent_fin || peer->sent_fin)
		f->state = CLOSING;
	else if (flags & SYN)
		f->state = OPENING;
	else
		f->state = OPEN;
}

static void frame(const uint8_t *p, int64_t now, int64_t keep) {
	uint32_t type = be16(p + 12);
	struct key k;
	const uint8_t *src, *dst, *t;
	uint64_t a[4];
	uint32_t len;
	p += 14;
	while (type == 0x8100 || type == 0x88a8)
		type = be16(p + 2), p += 4;
	if (type == 0x0800 && p[9] == 6 && !(be16(p + 6) & 0x3fff)) {
		uint32_t h = (p[0] & 15) * 4;
		t = p + h;
		len = be16(p + 2) - h;
		a[0] = a[2] = 0;
		a[1] = be32(p + 12), a[3] = be32(p + 16);
	} else if (type == 0x86dd && p[6] == 6) {
		src = p + 8, dst = p + 24, t = p + 40;
		len = be16(p + 4);
		memcpy(a, src, 16);
		memcpy(a + 2, dst, 16);
	} else {
		return;
	}
	segments++;
	uint32_t sport = be16(t), dport = be16(t + 2);
	int turned = a[0] != a[2] ? a[0] > a[2] : a[1] != a[3] ? a[1] > a[3] : sport > dport;
	if (turned)
		k = (struct key){{a[2], a[3], a[0], a[1]}, dport << 16 | sport};
	else
		k = (struct key){{a[0], a[1], a[2], a[3]}, sport << 16 | dport};
	struct flow *f = find_or_make(&k);
	int was = f->state;
	step(f, turned, t[13], be32(t + 4), be32(t + 8), len - (t[12] >> 4) * 4);
	f->last = now;
	if (f->state != CLOSED)
		return;
	if (!keep)
		drop(f);
	else if (was != CLOSED)
		retire(f, now);
}

static void reap(int64_t before) {
	for (; first != past && waiting[first & (ring - 1)].at <= before; first++) {
		struct flow *f = find(&waiting[first & (ring - 1)].key);
		if (f->used && f->state == CLOSED)
			drop(f);
	}
}

int main(int argc, char **argv) {
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	int64_t keep = argc > 2 ? atoll(argv[2]) * 1000000 : 0, reaped = 0;
	uint8_t *buf = must(malloc(2 * BLOCK));
	size_t have = 0, at = 24;
	ssize_t n;
	if (fd < 0) {
		perror("cloop: cannot open the capture");
		return 1;
	}
	table = must(calloc(capacity, sizeof *table));
	waiting = must(malloc(ring * sizeof *waiting));
	while ((n = read(fd, buf + have, BLOCK)) > 0) {
		have += n;
		while (at + 16 <= have && at + 16 + le32(buf + at + 8) <= have) {
			int64_t now = (int64_t)le32(buf + at) * 1000000 + le32(buf + at + 4);
			packets++;
			frame(buf + at + 16, now, keep);
			if (now - reaped > 1000000)
				reap(now - keep), reaped = now;
			at += 16 + le32(buf + at + 8);
		}
		memmove(buf, buf + at, have - at);
		have -= at, at = 0;
	}
	for (uint64_t i = 0; i < capacity; i++)
		if (table[i].used)
			states[table[i].state]++;
	printf("%lu packets %lu segments %lu flows: %lu opening %lu open %lu closing %lu closed, %lu by RST\n",
	       packets, segments, flows, states[OPENING], states[OPEN], states[CLOSING], states[CLOSED], resets);
	return 0;
}
