/* Lease, watchdog, observer, with clocks that err; and the volume-outage rule (-DOUTAGE).
 *
 * Clauses (libha/doc/models.md, "Lease"): t_s read before the write is submitted; only an
 * acknowledgement extends, to t_s + T_F; latch; the watchdog fires at any time up to W after the last
 * feed; timer zero is the completion of the first read that showed the newest sequence; a verdict
 * needs a read issued D later that shows nothing newer.
 *
 * Time: real ticks. A clock advances by 1 in most ticks; a slow host's clock stands still in one tick
 * of RATE, a fast observer's advances by 2 in one tick of RATE, at any place in it: rate error
 * rho = 1/RATE, and the error of each clock stays below one step beyond rho (G covers it). W is in
 * real ticks and includes the watchdog's own error. Latencies are unbounded.
 *   D = (1+rho) * (T_F/(1-rho) + W + G), rounded up; defaults T_F 4, W 3, rho 1/4, G 1.
 *
 * -DOUTAGE: after SEEN the volume fails for everybody; the observer is a member that may judge, and
 * may grant an extension. REPAIRED: a grant restarts the observer's timer at the moment it is given
 * (a grant is a heartbeat seen). Without REPAIRED, the candidate rule as first written: "I judge
 * nobody until T_F after your request". PARTIAL: the host asks only the members that it hears.
 *
 * Invariant: DeadMeansStopped.
 *
 * -DLEAVE: the host may write `left`; after the acknowledgement, and only then, it disarms its watchdog
 * and runs on without a lease. A slot that shows `left` yields no verdict.
 *
 * -DTWO: a heartbeat may be submitted to the other extent beside one that has not ended, and each is
 * acknowledged at any time, in any order, or never. The slot shows the newest that has landed. LASTTS is
 * the mutation in which any acknowledgement counts from the newest submission.
 *
 * Mutations: LEFTEXP (`left` read as expiry), DISARM (disarmed before the acknowledgement), FROMACK (window from the acknowledgement), FROMISSUE (timer zero is the read's issue),
 * EARLYREAD (the last read may be issued sooner than D), SHORTD (D without W), NORHO (D without rho),
 * NOLATCH with READTF (last read issued T_F after timer zero), NOSTALL is outside.
 */
#ifndef TF
#define TF 4
#endif
#ifndef WD
#define WD 3
#endif
#ifndef RATE
#define RATE 4
#endif
#ifndef D
#ifdef SHORTD
#define D (TF + 1)
#elif defined(NORHO)
#define D (TF + WD + 1)
#else
#define D ((RATE + 1) * (TF * RATE / (RATE - 1) + 1 + WD + 1) / RATE + 1)
#endif
#endif
#ifdef READTF
#ifdef NODRIFT
#define SHORTREAD TF
#else
#define SHORTREAD ((RATE + 1) * (TF * RATE / (RATE - 1) + 1) / RATE + 1)
#endif
#endif
#define NEVER 99

/* the host */
byte ts = NEVER;      /* its clock since the submission of the write in flight */
byte win = 0;         /* its clock since the t_s (or acknowledgement) that the window counts from */
bit latched, stopped;
byte fed = 0;         /* real ticks since the last feed */
byte hphase;          /* ticks since its clock erred */
bit flight;           /* a heartbeat is in flight */
bit land;             /* it has landed, not acknowledged */
#ifdef TWO
byte ts2 = NEVER;     /* the same of the one in the other extent */
bit flight2, land2;
bit second;           /* the newest submission went to the other extent */
bit old, old2;        /* a newer one has landed before it */
#endif
bit fresh = 1;        /* the slot shows a sequence that the observer's newest read has not shown */
/* the observer */
byte timer = NEVER;   /* its clock since timer zero; NEVER: no read completed yet */
byte ophase;
byte rd = 0;          /* 0 none, 1 issued */
bit rnew;             /* what the read found */
bit sampled;          /* the disk has answered it */
byte rissue;          /* its clock since the issue */
bit rvalid;           /* issued late enough for a verdict */
bit dead;             /* the verdict */
#ifdef LEAVE
bit leaving;          /* the write in flight says `left`; no other follows it */
bit left;             /* the slot says `left` */
bit disarmed;         /* no watchdog any more, and no need to feed one */
bit rleft;            /* what the newest read found */
#endif
#ifdef OUTAGE
bit outage;           /* nobody reads or writes */
byte req = NEVER;     /* host's clock since its request */
bit granted;          /* a grant is under way */
byte hold = NEVER;    /* observer's clock since the grant, for the candidate rule */
byte extra;
#endif

#ifdef OUTAGE
#define IO_WORKS !outage
#else
#define IO_WORKS 1
#endif
#ifdef LEAVE
#define ARMED (!disarmed)
#define GOES_ON (!leaving)
#define MAY_JUDGE LEFT_RULE
#ifdef LEFTEXP
#define LEFT_RULE 1
#else
#define LEFT_RULE (!rleft)
#endif
#else
#define ARMED 1
#define GOES_ON 1
#define MAY_JUDGE 1
#endif
#define BUMP(x, cap) x = (x < (cap) -> x + 1 : x)

inline hclock() {
  if :: ts != NEVER -> BUMP(ts, TF) :: else fi;
#ifdef TWO
  if :: ts2 != NEVER -> BUMP(ts2, TF) :: else fi;
#endif
  BUMP(win, TF);
#ifdef OUTAGE
  if :: req != NEVER -> BUMP(req, TF) :: else fi
#endif
}
inline oclock() {
  if :: timer != NEVER -> BUMP(timer, D) :: else fi;
  
#ifdef FROMISSUE
  if :: rd -> BUMP(rissue, D) :: else fi;
#endif
#ifdef OUTAGE
  if :: hold != NEVER -> BUMP(hold, TF) :: else fi
#endif
}

active proctype Everything() {
  do
  /* time: only after the watchdog had its say */
  :: atomic { !dead && (fed < WD || stopped || (ARMED == 0)) ->
       if :: stopped || (ARMED == 0) :: else -> BUMP(fed, WD) fi;
       if :: stopped :: !stopped && hphase >= RATE -> hphase = 1            /* a slow clock stands still once in RATE */
          :: !stopped -> hclock(); BUMP(hphase, RATE) fi;
       if :: ophase >= RATE -> oclock(); oclock(); ophase = 1
          :: oclock(); BUMP(ophase, RATE) fi;
       if :: hphase > RATE -> hphase = RATE :: else fi;
       if :: ophase > RATE -> ophase = RATE :: else fi;
       if :: win >= TF && !stopped ->
#ifndef NOLATCH
             latched = 1
#else
             skip
#endif
          :: else fi }
  /* the watchdog fires anywhere up to WD after the last feed */
  :: atomic { !stopped && !dead && ARMED -> stopped = 1; ts = NEVER; win = 0; hphase = 0; fed = 0; latched = 0
#ifdef OUTAGE
       ; req = NEVER
#endif
#ifdef TWO
       ; ts2 = NEVER
#endif
     }
  :: atomic { !stopped && !latched && ARMED && win < TF && fed > 0 -> fed = 0 }
  /* heartbeat: submit, land, acknowledge */
#ifdef LEAVE
  :: atomic { !stopped && !flight && !leaving && IO_WORKS -> flight = 1; land = 0; ts = 0 }
  :: atomic { !stopped && !flight && !leaving && !latched && IO_WORKS ->
       flight = 1; land = 0; ts = 0; leaving = 1
#ifdef DISARM
       ; disarmed = 1; fed = 0
#endif
     }
  :: atomic { flight && !land && IO_WORKS -> land = 1; fresh = 1;
       if :: leaving -> left = 1 :: else fi }
  :: atomic { !stopped && flight && land && leaving && !latched && !disarmed -> disarmed = 1; fed = 0 }
#elif defined(TWO)
  :: atomic { !stopped && !flight -> flight = 1; land = 0; old = 0; second = 0; ts = 0 }
  :: atomic { !stopped && !flight2 -> flight2 = 1; land2 = 0; old2 = 0; second = 1; ts2 = 0 }
  :: atomic { flight && !land -> land = 1;
       if :: !old -> fresh = 1 :: else fi;
       if :: !second && flight2 -> old2 = 1 :: else fi }
  :: atomic { flight2 && !land2 -> land2 = 1;
       if :: !old2 -> fresh = 1 :: else fi;
       if :: second && flight -> old = 1 :: else fi }
#else
  :: atomic { !stopped && !flight && IO_WORKS -> flight = 1; land = 0; ts = 0 }
  :: atomic { flight && !land && IO_WORKS -> land = 1; fresh = 1 }
#endif
#ifdef TWO
#ifdef LASTTS
#define T_S(own) (second -> (ts2 == NEVER -> own : ts2) : (ts == NEVER -> own : ts))
#else
#define T_S(own) own
#endif
  :: atomic { !stopped && flight && land ->
       if :: T_S(ts) < win -> win = T_S(ts) :: else fi;
       flight = 0; land = 0; old = 0; ts = NEVER;
       if :: win >= TF -> latched = 1 :: else fi }
  :: atomic { !stopped && flight2 && land2 ->
       if :: T_S(ts2) < win -> win = T_S(ts2) :: else fi;
       flight2 = 0; land2 = 0; old2 = 0; ts2 = NEVER;
       if :: win >= TF -> latched = 1 :: else fi }
#endif
#ifndef TWO
  :: atomic { !stopped && flight && land && GOES_ON ->
#ifdef FROMACK
       win = 0;
#else
       win = ts;
#endif
       flight = 0; land = 0; ts = NEVER;
       if :: win >= TF -> latched = 1 :: else fi
#ifdef NOLATCH
       ; latched = 0
#endif
     }
#endif
  /* the observer's reads: issue, sample, completion */
  :: atomic { !rd && IO_WORKS -> rd = 1; sampled = 0; rnew = 0; rissue = 0;
#if defined(EARLYREAD)
       rvalid = 1
#elif defined(READTF)
       rvalid = (timer != NEVER && timer >= SHORTREAD)
#else
       rvalid = (timer != NEVER && timer >= D)
#endif
#ifdef OUTAGE
#ifndef REPAIRED
       ; rvalid = (rvalid && (hold == NEVER || hold >= TF))
#endif
#endif
     }
  :: atomic { rd && !sampled -> sampled = 1; rnew = fresh; fresh = 0
#ifdef LEAVE
       ; rleft = left
#endif
     }
  :: atomic { rd && sampled ->
       rd = 0; sampled = 0;
       if
       :: rnew || timer == NEVER ->
#ifdef FROMISSUE
          timer = rissue
#else
          timer = 0
#endif
       :: else ->
          if
#ifdef EARLYREAD
          :: MAY_JUDGE && timer >= TF + WD -> dead = 1
#else
          :: MAY_JUDGE && rvalid && timer >= D -> dead = 1
#endif
          :: else
          fi
       fi; rnew = 0; rvalid = 0; rissue = 0;
       assert(!dead || stopped) }             /* DeadMeansStopped */
#ifdef OUTAGE
  :: atomic { !outage && extra < 1 -> outage = 1; extra++ }
  :: atomic { outage -> outage = 0 }
  :: atomic { !stopped && !latched && outage && req == NEVER -> req = 0; granted = 0 }
#ifdef PARTIAL
  :: atomic { !stopped && req != NEVER && !granted -> granted = 1 }     /* the observer is not heard */
#else
  :: atomic { req != NEVER && !granted && !dead -> granted = 1;
#ifdef REPAIRED
       if :: timer != NEVER -> timer = 0 :: else fi; rvalid = 0
#else
       hold = 0
#endif
     }
#endif
  :: atomic { !stopped && !latched && req != NEVER && granted && req < win && req < TF ->
       win = req; req = NEVER; granted = 0 }
#endif
  od
}
