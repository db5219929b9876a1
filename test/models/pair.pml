/* An A/B pair: what a reader may take from it, with torn, late and timed-out writes and restarts.
 *
 * Clauses (libha/doc/models.md, "The pair"):
 *   P1 one write at a time is awaited; a timed-out block is quarantined until its I/O completes;
 *   P2 a write never goes over the twin that holds the newest acknowledged content;
 *   P3 a restarted keeper knows which blocks were in flight and with which sequence, writes above
 *      it, and writes nothing while one of them is unsettled;
 *   P4 a reader reads the twins one after the other, in any order, and takes the higher sequence
 *      among the readable ones; both unreadable is unknown.
 *
 * Contract shown: a read returns the newest write acknowledged before it began, or a later one
 * (a regular register), and never "unknown" by tears alone. lock.pml rests on this.
 *
 * Environment: a write lands at any time while its keeper or the path has it, also after its
 * timeout or the keeper's death; landing takes two steps, and a reader or a death in between sees
 * an unreadable block (-DHEADER: the first 512 bytes are whole, so a tear is never seen).
 *
 * Bounds: WRITES writes, RESTARTS restarts, READS reads.
 *
 * Mutations: NOQUAR (writes to a block with a write in flight), RISK (with the twin quarantined,
 * the newest acknowledged copy is overwritten), NOLIST (a restarted keeper forgets what was in
 * flight), NOGAP (a restarted keeper writes at once and counts on from what it reads), ONE (no twin).
 */
#ifndef WRITES
#define WRITES 5
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#define READS 2
#define TORN 255

#define SEQ(b) ((b) / 16)
#define NUM(b) ((b) % 16)
byte seq[2];          /* what stands in each twin: sequence and number of the write */
byte fl[2], fl2[2];   /* writes in flight on it: the present one, an older one */
bit half[2], half2[2];/* landing has begun */
byte known[2];        /* the keeper's list: what is in flight there, 0 nothing */
byte acked;           /* newest write acknowledged */
byte home;            /* twin with the newest acknowledged content */
byte next = 1;        /* ghost: writes are numbered in the order of their issue */
byte nseq = 1;        /* the sequence of the next write */
byte restarts;

inline choose(t) {
#ifdef ONE
  t = 0
#else
  t = 1 - home
#endif
}

active proctype Writer() {
  byte t;
idle:
  if
  :: atomic { next <= WRITES ->
       choose(t);
#ifdef RISK
       if :: known[t] != 0 && known[1 - t] == 0 -> t = 1 - t :: else fi;
#endif
#ifndef NOQUAR
       if :: known[t] != 0 -> t = 0; goto blocked :: else fi;
#endif
       if
       :: fl[t] != 0 -> if :: fl2[t] == 0 -> fl2[t] = fl[t]; half2[t] = half[t] :: else -> t = 0; goto blocked fi
       :: else
       fi;
       fl[t] = nseq * 16 + next; half[t] = 0; known[t] = fl[t];
       printf("writes number %d, sequence %d, to twin %d.\n", next, nseq, t); next++; nseq++ }
  :: next > WRITES -> goto stop
  fi;
  if
  :: atomic { fl[t] == 0 ->            /* landed: acknowledged */
       acked = NUM(known[t]); known[t] = 0; home = t; t = 0;
       printf("%d is acknowledged.\n", acked) }
  :: atomic { t = 0; printf("timed out.\n") }         /* or the acknowledgement was lost */
  :: atomic { restarts < RESTARTS -> restarts++; t = 0; printf("keeper restarts.\n"); goto restart }
  fi;
  goto idle;
blocked:
  if
  :: atomic { known[0] != 0 && fl[0] == 0 -> t = 0 }   /* the late I/O has completed */
  :: atomic { known[1] != 0 && fl[1] == 0 -> t = 1 }
  :: atomic { restarts < RESTARTS -> restarts++; t = 0; printf("keeper restarts.\n"); goto restart }
  fi;
  atomic { if :: seq[t] == known[t] && NUM(known[t]) > acked -> acked = NUM(known[t]); home = t :: else fi;
    known[t] = 0; t = 0 }
  goto idle;
restart:
#if defined(NOLIST)
  atomic { known[0] = 0; known[1] = 0 }
#elif defined(NOGAP)
  skip;
#else
  /* P3: until nothing of the earlier life is in flight, or L_late has passed. */
  atomic { fl[0] == 0 && fl[1] == 0 && fl2[0] == 0 && fl2[1] == 0 -> known[0] = 0; known[1] = 0 }
#endif
  atomic {
    /* recovers from the disk */
    if
    :: seq[0] == TORN -> home = 1
    :: seq[1] == TORN -> home = 0
    :: else -> home = (SEQ(seq[1]) > SEQ(seq[0]) -> 1 : 0)
    fi;
    if :: seq[home] != TORN && NUM(seq[home]) > acked -> acked = NUM(seq[home]) :: else fi;
#ifdef NOGAP
    if :: seq[home] != TORN -> nseq = SEQ(seq[home]) + 1 :: else fi;
#endif
  }
  goto idle;
stop:
  skip
}

/* Writes land in any order, in two steps; a path that dies drops one. */
active proctype Storage() {
  byte t;
end:
  do
  :: atomic { fl[0] + fl[1] + fl2[0] + fl2[1] > 0 ->
       t = 0; do :: t = 1; break :: break od;
       if
       :: fl[t] == 0 && fl2[t] == 0
       :: fl[t] != 0 && !half[t] && !half2[t] ->
          half[t] = 1;
#ifndef HEADER
          seq[t] = TORN
#endif
       :: fl[t] != 0 && half[t] -> seq[t] = fl[t]; fl[t] = 0; half[t] = 0;
          printf("%d lands.\n", NUM(seq[t]))
       :: fl2[t] != 0 && !half[t] && !half2[t] ->
          half2[t] = 1;
#ifndef HEADER
          seq[t] = TORN
#endif
       :: fl2[t] != 0 && half2[t] -> seq[t] = fl2[t]; fl2[t] = 0; half2[t] = 0;
          printf("%d lands, late.\n", NUM(seq[t]))
       fi; t = 0 }
  od
}

active proctype Reader() {
  byte n, before, first, got, one;
  do
  :: n < READS ->
     atomic { before = acked; first = 0; do :: first = 1; break :: break od; one = seq[first] }
     atomic { got = seq[1 - first];
       if
       :: one == TORN && got == TORN ->      /* unknown: reads again; but never both at once */
          assert(!(seq[0] == TORN && seq[1] == TORN)); goto reread
       :: one == TORN
       :: got == TORN && one != TORN ->
#ifdef STALE
          got = one
#else
          goto again
#endif
       :: else -> got = (SEQ(one) > SEQ(got) -> one : got)
       fi;
       got = NUM(got);
       printf("a reader that began at %d takes %d.\n", before, got);
       assert(got >= before);
       goto done;
again:     /* P4: the readable one counts only as read after the unreadable one */
       skip }
     atomic { got = seq[first]; one = TORN;
       if :: got == TORN -> goto reread :: else fi;
       got = NUM(got); assert(got >= before);
done:  n++;
reread:
       before = 0; first = 0; got = 0; one = 0 }
  :: else -> break
  od
}
