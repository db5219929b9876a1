/* The statement `released`, and the ladder that stays up, of one host (H) with one guest.
 *
 * Clauses (libha/doc/models.md, "Released"): the ladder kills at K; the host is *quiet* once no QEMU
 * of its guests lives, every start is settled and its kernel has none of their writes queued. Quiet by
 * T_F it stays up; else it feeds no more, and is reset by T_F + W. Quiet for L_late it records
 * `released`, for this incarnation, and only then says so, by messages that may be lost, repeated
 * and late. A keeper of an incarnation that is released grants no rights. When writes work again the
 * host yields its guest, and then goes on under a new incarnation, which owns nothing.
 * The other host (O) starts the guest at once on `released`; L_late after `lease-expired`; at once
 * after a yield. The guest may also be given to H's new incarnation.
 *
 * Time: ticks since the newest heartbeat was submitted, the same for all: drift is lease.pml's. A QEMU's
 * write is queued in H's kernel for as long as it likes, and in the path for up to L_late; a reset
 * empties the queue.
 *
 * Invariants: OneRunner; no write of a runner lands once another runs; a guest is not lost.
 *
 * Mutations: NOSETTLE (quiet with a create call open), NOQUEUE (with writes queued), NOLATE (released
 * at once when quiet), SENDFIRST (said before it is recorded), UNBOUND (the statement names the
 * host), STAYANY (stays up though not quiet by T_F), NOYIELD (new incarnation before the yield
 * stands), KEEPS (the new incarnation goes on with the old claim).
 */
#ifndef K
#define K 1
#endif
#ifndef TF
#define TF 2
#endif
#ifndef WD
#define WD 1
#endif
#ifndef LATE
#define LATE 2
#endif
#ifndef KRESTS
#define KRESTS 2
#endif
#define CAP (TF + WD + LATE + 1)

/* H */
byte age;              /* since its newest heartbeat */
bit up = 1, fed = 1;   /* powered; its watchdog is fed */
bit works = 1;         /* its writes reach the volume */
bit later;             /* 0: the first incarnation, 1: the one after it */
bit killing;           /* the ladder's third rung, as its keeper remembers it */
bit ended;             /* T_F has come without quiet */
bit creating, live;     /* a create call is open; the QEMU lives */
bit claim = 1;         /* its table says that it holds the guest, under `claimer` */
bit claimer;           /* later or not */
byte queued;           /* writes of its QEMU in its kernel */
byte path;             /* 0: none; else ticks + 1 that one may still take */
bit quiet;
byte quiet_for;
bit rec, said;         /* recorded in /run, sent: both of the first incarnation */
byte krests;
byte outages;
/* the rest */
bit verdict;           /* on the first incarnation */
bit vlate;             /* by lease-expired */
byte vage;             /* since the verdict */
byte owner;            /* 0 the first incarnation, 1 the later one, 2 O */
bit orun;
bit yielded;

#ifdef NOSETTLE
#define SETTLED 1
#else
#define SETTLED (!creating)
#endif
#ifdef NOQUEUE
#define DRAINED 1
#else
#define DRAINED (queued == 0)
#endif
#ifdef NOLATE
#define LATE_OVER 1
#else
#define LATE_OVER (quiet_for > LATE)
#endif
#ifdef KEEPS
#define OWNS (claim)
#else
#define OWNS (claim && claimer == later)
#endif
#ifdef SENDFIRST
#define MAY_RECORD said
#define MAY_SAY (quiet && LATE_OVER)
#else
#define MAY_RECORD 1
#define MAY_SAY rec
#endif
#ifdef UNBOUND
#define BOUND 1
#else
#define BOUND (owner == 0)
#endif
/* what the keeper grants: not while the ladder kills, nor to an incarnation that is released */
#define RIGHTS (up && !killing && !ended && age < K && (later || !rec))

#define ALONE assert(!(live && orun))

active proctype Everything() {
  do
  /* time */
  :: atomic { (fed || !up || age < TF + WD) && path != 1 && (age < TF || !fed || quiet) ->
       if :: age < CAP -> age++ :: else fi;
       if :: path > 1 -> path-- :: else fi;
       if :: quiet && quiet_for <= LATE -> quiet_for++ :: else fi;
       if :: verdict && vage <= LATE -> vage++ :: else fi }
  /* the volume, as seen from H */
  :: atomic { works && outages < 1 -> works = 0; outages++ }
  :: atomic { !works -> works = 1 }
  :: atomic { up && works && !killing && !ended && !rec && age < K -> age = 0 }
  :: atomic { up && works && later && !killing && !ended && age < K -> age = 0 }
  /* the guest's life on H */
  :: atomic { RIGHTS && OWNS && !live && !creating -> creating = 1 }
  :: atomic { up && creating -> creating = 0; live = 1; ALONE }
  :: atomic { up && creating -> creating = 0 }             /* the call failed */
  :: atomic { up && live && queued == 0 -> queued = 1 }
  :: atomic { up && queued > 0 && path == 0 -> queued--; path = LATE + 1 }
  :: atomic { path > 0 -> path = 0; assert(!orun) }        /* it lands */
  /* the ladder */
  :: atomic { up && !ended && age >= K && !later -> killing = 1 }
  :: atomic { up && (killing || ended) && live && !later -> live = 0 }
  :: atomic { up && killing && !ended && !quiet && !live && SETTLED && DRAINED && age < TF ->
       quiet = 1; quiet_for = 0 }
  :: atomic { up && quiet && !rec && live && !later -> quiet = 0; ended = 1; fed = 0 }
#ifdef STAYANY
  :: atomic { up && age >= TF && !quiet -> quiet = 1; quiet_for = 0 }
#else
  :: atomic { up && age >= TF && !quiet && fed && !later -> ended = 1; fed = 0 }
#endif
  :: atomic { up && !fed -> up = 0; live = 0; creating = 0; queued = 0 }
  /* the statement */
  :: atomic { up && quiet && LATE_OVER && !later && MAY_RECORD -> rec = 1 }
  :: atomic { up && !later && MAY_SAY -> said = 1 }
  /* a keeper that is restarted within T_F may know nothing but what is recorded; beyond T_F one that
     finds no record feeds no more */
  :: atomic { up && fed && krests < KRESTS && !later && (killing || quiet) && !rec -> krests++;
       if
       :: age < TF && works -> killing = 0; quiet = 0; age = 0
       :: age < TF -> quiet = 0
       :: age >= TF -> quiet = 0; ended = 1; fed = 0
       fi }
  /* the way back */
#ifdef NOYIELD
  :: atomic { up && rec && works && !later -> later = 1; killing = 0; quiet = 0; age = 0;
       assert(yielded || verdict || said) }
#else
  :: atomic { up && rec && works && !later && claim -> claim = 0; yielded = 1 }
  :: atomic { up && rec && works && !later && !claim -> later = 1; killing = 0; quiet = 0; age = 0;
       assert(yielded || verdict || said) }
#endif
#ifdef KEEPS
  :: atomic { up && rec && works && !later -> later = 1; killing = 0; quiet = 0; age = 0 }
#endif
  /* the decider */
  :: atomic { said && !verdict && BOUND -> verdict = 1; vage = 0; vlate = 0;
#ifdef UNBOUND
       if :: owner == 1 -> owner = 2 :: else fi
#endif
     }
  :: atomic { !verdict && age >= TF + WD && owner == 0 && !later -> verdict = 1; vage = 0; vlate = 1 }
  :: atomic { owner == 0 && (yielded || (verdict && (!vlate || vage > LATE))) ->
       if
       :: owner = 2
       :: up && later && works -> owner = 1; claim = 1; claimer = 1
       fi }
  :: atomic { owner == 2 && !orun -> orun = 1; assert(!live); }
  od
}
