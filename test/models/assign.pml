/* Assignments of one guest across lock versions: deciders that crash between any two steps, targets
 * whose daemons and hosts die at any step, claims, refusals and the hand-back by daemon epoch.
 *
 * Clauses (libha/doc/models.md, "Assignments"): A1 only the highest version's block counts; A2 a new
 * decider re-issues what is open, unchanged, before anything else; A3 slot first, table second;
 * A4 claim acknowledged, then decisions, DECIDED, all claims; A5 refusal only after the create is
 * settled; A6 an epoch hands back what was not claimed, and what was claimed but is not listed; A7
 * the keeper lists a start before the create, and says in the slot whether starts are listed.
 *
 * The guest's first owner is proved dead when the model begins. The lock is abstracted: `decided` is
 * the highest DECIDED version, and a version begins only when its predecessor's decider acts no
 * longer (lock.pml). A write in flight may be read or not; once anybody has read it, it has landed
 * (pair.pml).
 *
 * Bounds: 2 targets, V lock versions, ROUNDS decisions of each, KILLS daemons killed and restarted,
 * DEATHS host deaths, GENS generations.
 *
 * Invariant: OneRunner (a create under way counts).
 *
 * Mutations: OLDVER NOREISSUE TABLEFIRST DECFIRST EARLYREF NOEPOCH NOLISTED UNSETTLED CLAIMNOACK
 * NOCLAIMS NOSTAND UNASSIGNED. Some of these barriers stand behind one another: which ones is in
 * the document, and such a mutation is run with the barrier behind it removed too.
 */
#ifndef V
#define V 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef GENS
#define GENS 4
#endif

#define NOTHING 0
#define CLAIMED 1
#define HOLDING 2
#define REFUSED 3

typedef Word { byte gen; bit tgt; byte life; byte ends };   /* gen 0: no assignment; ends: lives that
                                                              no longer count, bit 2*host+life */
typedef Entry { byte ph, gen; byte life };

byte decided = 0;           /* highest DECIDED version */
Word dcur[V + 1], dfl[V + 1];
bit dflying[V + 1], dseen[V + 1], dany[V + 1], dflany[V + 1];
Entry tcur[2], tfl[2];
bit tflying[2], tseen[2];
byte life[2];               /* the daemon's epoch */
bit dup[2];                 /* the daemon runs */
byte slot_life[2];          /* in the slot */
bit slot_listed[2];         /* in the slot: an earlier life's start is listed */
bit listed[2];              /* in the keeper: a start is listed */
byte qemu[2];                /* 0 no QEMU, 1 create under way, 2 runs */
bit dead[2];                /* the host is off, provably */
byte deaths, kills;

#define COUNTS(a, h, l) (!((a) & (1 << (2 * (h) + (l)))))

inline table_read(x_h, x_e) {
  if
  :: x_e.ph = tcur[x_h].ph; x_e.gen = tcur[x_h].gen; x_e.life = tcur[x_h].life
  :: tflying[x_h] -> tseen[x_h] = 1;
     tcur[x_h].ph = tfl[x_h].ph; tcur[x_h].gen = tfl[x_h].gen; tcur[x_h].life = tfl[x_h].life;
     x_e.ph = tfl[x_h].ph; x_e.gen = tfl[x_h].gen; x_e.life = tfl[x_h].life
  fi
}

inline block_read(x_v, x_w, x_any) {
  if
  :: x_w.gen = dcur[x_v].gen; x_w.tgt = dcur[x_v].tgt; x_w.life = dcur[x_v].life; x_w.ends = dcur[x_v].ends; x_any = dany[x_v]
  :: dflying[x_v] -> dseen[x_v] = 1; dany[x_v] = 1; x_any = 1;     /* it has landed */
     dcur[x_v].gen = dfl[x_v].gen; dcur[x_v].tgt = dfl[x_v].tgt; dcur[x_v].life = dfl[x_v].life;
     dcur[x_v].ends = dfl[x_v].ends;
     x_w.gen = dfl[x_v].gen; x_w.tgt = dfl[x_v].tgt; x_w.life = dfl[x_v].life; x_w.ends = dfl[x_v].ends
  fi
}

inline table_submit(x_h, x_p, x_g) {
  tfl[x_h].ph = x_p; tfl[x_h].gen = x_g; tfl[x_h].life = me; tflying[x_h] = 1; tseen[x_h] = 0
}

inline table_landed(x_h) {
  tcur[x_h].ph = tfl[x_h].ph; tcur[x_h].gen = tfl[x_h].gen; tcur[x_h].life = tfl[x_h].life;
  tfl[x_h].ph = 0; tfl[x_h].gen = 0; tfl[x_h].life = 0; tflying[x_h] = 0; tseen[x_h] = 0
}

inline take(x_w, x_x) { x_w.gen = x_x.gen; x_w.tgt = x_x.tgt; x_w.life = x_x.life; x_w.ends = x_x.ends }
inline none(x_w) { x_w.gen = 0; x_w.tgt = 0; x_w.life = 0; x_w.ends = 0 }

inline decide_submit() {
  dfl[v].gen = mine.gen; dfl[v].tgt = mine.tgt; dfl[v].life = mine.life; dfl[v].ends = mine.ends;
  dflying[v] = 1; dseen[v] = 0
}
inline decide_landed() {
  dcur[v].gen = dfl[v].gen; dcur[v].tgt = dfl[v].tgt; dcur[v].life = dfl[v].life;
  dcur[v].ends = dfl[v].ends; dany[v] = 1; dflying[v] = 0; dseen[v] = 0;
  dfl[v].gen = 0; dfl[v].tgt = 0; dfl[v].life = 0; dfl[v].ends = 0
}

/* One lock version. It stops wherever it stands when the next one is decided. */
proctype Decider(byte v) {
  Word mine, got;
  Entry e[2];
  byte sl[2];
  bit sd[2], sli[2], any, done;
  byte u, h, rounds;

end_wait:
  if
  :: atomic { decided == v - 1 -> decided = v; printf("version %d is decided.\n", v) }
  fi;
  /* A2: the predecessors' blocks; the highest version that was written is the whole truth. */
  u = v - 1;
  do
  :: atomic { decided == v && u > 0 ->
       block_read(u, got, any);
#ifdef OLDVER
       if :: any && got.gen > mine.gen -> take(mine, got) :: else fi;
       u--
#else
       if :: any -> take(mine, got); u = 0 :: else -> u-- fi;
#endif
       none(got); any = 0 }
  :: atomic { decided != v -> goto stop }
  :: atomic { decided == v && u == 0 -> break }
  od;
#ifdef NOREISSUE
  none(mine);
#endif
  do
  :: atomic { decided == v -> decide_submit();
       printf("decider %d writes: generation %d, host %d, life %d, ended %d.\n", v, mine.gen, mine.tgt, mine.life, mine.ends) };
     if
     :: atomic { decided == v -> decide_landed() }
     :: atomic { decided != v -> goto stop }
     fi;
more:
     if
     :: atomic { decided != v -> goto stop }
     :: atomic { decided == v && rounds >= ROUNDS -> goto stop }
     :: atomic { decided == v && rounds < ROUNDS -> rounds++; h = 0 }
     fi;
     do                       /* A3 */
     :: atomic { decided == v && h < 2 ->
#ifdef TABLEFIRST
          table_read(h, e[h])
#else
          sl[h] = slot_life[h]; sli[h] = slot_listed[h]; sd[h] = dead[h]
#endif
        };
        atomic { decided == v ->
#ifdef TABLEFIRST
          sl[h] = slot_life[h]; sli[h] = slot_listed[h]; sd[h] = dead[h]; h++
#else
          if :: h == 0 -> table_read(0, e[0]) :: else -> table_read(1, e[1]) fi; h++
#endif
        }
     :: atomic { decided != v -> goto stop }
     :: atomic { decided == v && h == 2 -> break }
     od;
     atomic { decided == v ->
       h = mine.tgt;
       /* is the present assignment over? */
       if
       :: mine.gen == 0 -> done = 1; mine.gen = 1
       :: else ->
          if
          :: sd[h] -> done = 1
          :: !sd[h] && e[h].gen == mine.gen && e[h].ph == REFUSED -> done = 1
          :: !sd[h] && sl[h] > mine.life && !(e[h].gen == mine.gen) -> done = 1         /* not claimed */
          :: !sd[h] && sl[h] > mine.life && e[h].gen == mine.gen && e[h].ph == CLAIMED &&
#ifdef NOLISTED
             true
#else
             !sli[h]
#endif
             -> done = 1
          :: else -> done = 0
          fi
       fi;
       /* every life that is certainly over */
       h = 0;
       do
       :: h < 2 ->
          if :: sd[h] -> mine.ends = mine.ends | (3 << (2 * h))
             :: !sd[h] && sl[h] > 0 && !(e[h].ph == HOLDING && e[h].life == 0) &&
#ifdef NOLISTED
                true
#else
                !sli[h]
#endif
                -> mine.ends = (done -> mine.ends | (1 << (2 * h)) : mine.ends)
             :: else
          fi;
          /* somebody has an active claim that nothing ended: not to be assigned */
          if :: COUNTS(mine.ends, h, e[h].life) && (e[h].ph == CLAIMED || e[h].ph == HOLDING) -> done = 0
             :: else
          fi;
          if :: e[h].gen > mine.gen && done -> mine.gen = e[h].gen :: else fi;
          h++
       :: else -> break
       od;
       if :: mine.gen == 1 && !done -> mine.gen = 0 :: else fi;
       if
       :: done && mine.gen < GENS ->
          if :: !sd[0] -> h = 0 :: !sd[1] -> h = 1 :: sd[0] && sd[1] -> h = 2 fi;
          if
          :: h == 2 -> done = 0
          :: else -> mine.gen++; mine.tgt = h; mine.life = sl[h]
          fi
       :: else -> done = 0
       fi;
       h = 0; e[0].ph = 0; e[0].gen = 0; e[0].life = 0; e[1].ph = 0; e[1].gen = 0; e[1].life = 0;
       sl[0] = 0; sl[1] = 0; sli[0] = 0; sli[1] = 0; sd[0] = 0; sd[1] = 0;
       if :: done -> done = 0 :: else -> goto more fi
     }
  od;
stop:
  atomic { none(mine); none(got); e[0].ph = 0; e[0].gen = 0; e[0].life = 0; e[1].ph = 0; e[1].gen = 0; e[1].life = 0;
    sl[0] = 0; sl[1] = 0; sli[0] = 0; sli[1] = 0; sd[0] = 0; sd[1] = 0; any = 0; done = 0; u = 0; h = 0; rounds = 0 }
}

#define LIVE (dup[t] && !dead[t])

/* A target's daemon. `dup` falls at any step; what libvirt was told goes on without it. */
proctype Target(bit t) {
  Word w;
  Word stand;
  Entry e;
  byte me, d, u;
  bit any, ok;

begin:
  atomic { me = life[t]; none(w); none(stand); e.ph = 0; e.gen = 0; e.life = 0; d = 0; u = 0; any = 0; ok = 0 }
  /* what an earlier life left: settled first, then stated */
  if
  :: atomic { LIVE && listed[t] && qemu[t] != 1 ->
       table_submit(t, (qemu[t] == 2 -> HOLDING : REFUSED), tcur[t].gen) }
  :: atomic { LIVE && !listed[t] && tcur[t].ph == CLAIMED -> table_submit(t, REFUSED, tcur[t].gen) }
  :: atomic { LIVE && !listed[t] && tcur[t].ph != CLAIMED -> goto idle }
  :: atomic { !LIVE -> goto down }
  fi;
written:
  if
  :: atomic { LIVE -> table_landed(t); listed[t] = 0;
#ifdef EARLYREF
       skip
#endif
     }
  :: atomic { !LIVE -> goto down }
  fi;
idle:
  atomic { none(w); none(stand); e.ph = 0; e.gen = 0; e.life = 0; d = 0; any = 0; ok = 0 }
end_idle:
  if
  :: atomic { !LIVE -> goto down }
  :: atomic { LIVE && decided > 0 && tcur[t].ph != HOLDING ->
       u = decided;
#ifdef OLDVER
       do :: u > 1 -> u-- :: break od;
#endif
       block_read(u, stand, any); u = 0; any = 0;
       if
       :: stand.gen > tcur[t].gen && stand.tgt == t &&
#ifndef NOEPOCH
          stand.life == me &&
#endif
          true -> take(w, stand); none(stand);
          table_submit(t, CLAIMED, w.gen); printf("host %d claims generation %d.\n", t, w.gen)
       :: else -> none(stand); goto idle
       fi }
#ifdef UNASSIGNED
  :: atomic { LIVE && tcur[t].ph == NOTHING -> w.gen = 2; w.tgt = t; w.life = me; w.ends = 15;
       table_submit(t, CLAIMED, w.gen); printf("host %d claims by itself.\n", t) }
#endif
  fi;
  if
#ifdef CLAIMNOACK
  :: atomic { LIVE -> skip }
#else
  :: atomic { LIVE -> table_landed(t) }
#endif
  :: atomic { !LIVE -> goto down }
  fi;
  /* A4: decisions, then DECIDED, then all claims */
#ifdef DECFIRST
  atomic { d = decided };
#endif
  u = V;
  do
  :: atomic { LIVE && u > 0 -> block_read(u, stand, any);
       if
       :: any && stand.gen == w.gen && stand.tgt == t && stand.life == w.life ->
          ok = 1; w.tgt = 0;
#ifdef OLDVER
          e.life = 0
#else
          e.gen = e.gen | (1 << u)      /* borrowed: the versions under which it stands */
#endif
       :: else
       fi; none(stand); any = 0; u-- }
  :: atomic { LIVE && u == 0 -> break }
  :: atomic { !LIVE -> goto down }
  od;
  if
  :: atomic { LIVE ->
#ifndef DECFIRST
       d = decided;
#endif
#ifdef NOSTAND
       ok = 1;
#elif !defined(OLDVER)
       ok = ((e.gen >> d) & 1);
#endif
#ifdef UNASSIGNED
       if :: w.ends == 15 -> ok = 1 :: else fi;
#endif
       e.gen = 0 }
  :: atomic { !LIVE -> goto down }
  fi;
  if
  :: atomic { LIVE ->
#ifdef NOCLAIMS
       skip
#else
       table_read(1 - t, e);
       if
       :: (e.ph == CLAIMED || e.ph == HOLDING) && COUNTS(w.ends, 1 - t, e.life) -> ok = 0
       :: else
       fi;
       e.ph = 0; e.gen = 0; e.life = 0
#endif
     }
  :: atomic { !LIVE -> goto down }
  fi;
#ifdef CLAIMNOACK
  if :: atomic { LIVE -> skip } :: atomic { !LIVE -> goto down } fi;
#endif
  if
  :: atomic { LIVE && !ok ->
#ifdef CLAIMNOACK
       table_landed(t);
#endif
       table_submit(t, REFUSED, w.gen); printf("host %d refuses generation %d.\n", t, w.gen) ; goto written }
  :: atomic { LIVE && ok -> listed[t] = 1 }         /* A7: by the keeper */
  :: atomic { !LIVE -> goto down }
  fi;
  if
  :: atomic { LIVE -> qemu[t] = 1; printf("host %d: create, generation %d.\n", t, w.gen);
       assert(qemu[1 - t] == 0) }                    /* OneRunner */
  :: atomic { !LIVE -> goto down }
  fi;
  if
#ifdef EARLYREF
  :: atomic { LIVE && qemu[t] == 1 -> table_submit(t, REFUSED, w.gen); printf("host %d refuses before it knows.\n", t); goto written }
#endif
#ifdef CLAIMNOACK
  :: atomic { LIVE && qemu[t] != 1 -> table_landed(t); table_submit(t, (qemu[t] == 2 -> HOLDING : REFUSED), w.gen); goto written }
#else
  :: atomic { LIVE && qemu[t] != 1 -> table_submit(t, (qemu[t] == 2 -> HOLDING : REFUSED), w.gen); goto written }
#endif
  :: atomic { !LIVE -> goto down }
  fi;
down:
  atomic { none(w); none(stand); e.ph = 0; e.gen = 0; e.life = 0; d = 0; u = 0; any = 0; ok = 0; me = 0 }
end_down:
  if
  :: atomic { !dead[t] && !dup[t] && life[t] < LIVES - 1 ->
       /* the keeper: killed, connection closed, writes settled, then the epoch */
#ifndef UNSETTLED
       if
       :: tflying[t] -> table_landed(t)
       :: tflying[t] && !tseen[t] -> tflying[t] = 0; tfl[t].ph = 0; tfl[t].gen = 0; tfl[t].life = 0
       :: !tflying[t]
       fi;
#endif
       life[t]++; slot_life[t] = life[t]; slot_listed[t] = listed[t];
       printf("host %d: epoch %d, starts listed: %d.\n", t, life[t], listed[t]) }
  :: atomic { dead[t] -> goto gone }
  fi;
  /* a new daemon; it may come late */
  if
  :: atomic { !dead[t] ->
#ifdef UNSETTLED
       if :: tflying[t] -> table_landed(t) :: else fi;
#endif
       dup[t] = 1 }
  :: atomic { dead[t] -> goto gone }
  fi;
  goto begin;
gone:
  skip
}

/* libvirt settles a create; a power cut ends a host; the keeper kills a daemon. */
active proctype World() {
  bit h;
end:
  do
  :: atomic { qemu[0] == 1 -> if :: qemu[0] = 2; printf("host 0 runs it.\n") :: qemu[0] = 0; printf("host 0: the create fails.\n") fi }
  :: atomic { qemu[1] == 1 -> if :: qemu[1] = 2; printf("host 1 runs it.\n") :: qemu[1] = 0; printf("host 1: the create fails.\n") fi }
  :: atomic { kills < KILLS && dup[0] && !dead[0] && life[0] < LIVES - 1 -> kills++; dup[0] = 0; printf("host 0: the daemon is killed.\n") }
  :: atomic { kills < KILLS && dup[1] && !dead[1] && life[1] < LIVES - 1 -> kills++; dup[1] = 0; printf("host 1: the daemon is killed.\n") }
  :: atomic { deaths < DEATHS && !dead[0] -> deaths++; dead[0] = 1; qemu[0] = 0; printf("host 0 is off.\n") }
  :: atomic { deaths < DEATHS && !dead[1] -> deaths++; dead[1] = 1; qemu[1] = 0; printf("host 1 is off.\n") }
  od
}

init {
  byte i;
  atomic {
    dup[0] = 1; dup[1] = 1;
    i = 1; do :: i <= V -> run Decider(i); i++ :: else -> break od;
    run Target(0); run Target(1)
  }
}
